"""A link into a store counts only where it is told to be the same file, with one name more.

Shares tell otherwise: SMB counts no names, and a share may number each name of a file. Such a one
is played at io's border; `deploy/test_network_*` have real ones.
"""

import os
import shutil

import anyio
import pytest

from watcher.io import files, sources
from watcher.io.reader import examine
from watcher.stages.filing import Filer
from watcher.stages.hands import make_all_own, settle_hands
from watcher.stages.outcomes import Result
from watcher.stages.placing import ChangedError, put


@pytest.fixture(params=["numbered", "uncounted"])
def share(request, monkeypatch):
    """A link here has an inode number of its own; or its second name is not counted."""
    if request.param == "uncounted":
        monkeypatch.setattr(sources, "count_names", lambda path: min(os.lstat(path).st_nlink, 1))
    else:
        monkeypatch.setattr(sources, "link_from", numbered)


def numbered(folder, name, target):
    """What a share shows of a link that it numbers by its name: all but the inode is the same."""
    shutil.copy2(f"/proc/self/fd/{folder}/{os.fsdecode(name)}", target)


def filed(bench):
    """The files of the prearchive's scans."""
    base = bench.parts.storage.path("prearchive")
    return [os.path.join(base, path) for path in bench.tree("prearchive") if ".dcm" in path]


class Readers:
    """The reader, in this process, and how many files it read."""

    read = 0

    async def warm(self, count):
        """It is."""

    async def examine(self, requests):
        self.read += len(requests)
        return [examine(request) for request in requests]


@pytest.mark.usefixtures("share")
class TestShare:
    """A share that does not tell a link for what it is."""

    def test_a_file_is_to_be_copied(self, bench):
        """Not the link, nor the name it was to have, is left; read again and copied it is filed."""
        bench.put("a")
        (outcome,) = Filer(bench.parts).file(bench.drop, [bench.incoming("a")])
        assert (Result.COPY, ["a"], []) == (
            outcome.result,
            os.listdir(bench.drop.path),
            filed(bench),
        )
        (outcome,) = bench.file("a", copy=True)
        assert (Result.FILED, [], 1) == (
            outcome.result,
            os.listdir(bench.drop.path),
            len(filed(bench)),
        )

    async def test_the_drop_is_emptied(self, bench):
        """Its files do not wait for ever: the first is read twice, and none after it."""
        intake = bench.intake(Readers())
        for number in (1, 2):
            bench.put(f"a{number}", number)
            intake.hint(None)
            with anyio.fail_after(240):
                while intake.tally.filed < number:
                    await intake.step()
                    bench.parts.clock.later += 0.1
        assert ([], 2) == (os.listdir(bench.drop.path), len(filed(bench)))
        assert (3, []) == (intake.files.workers.read, bench.events("file.waiting"))


@pytest.mark.parametrize("known", [True, False], ids=["in hand", "of the tree"])
def test_what_a_crash_left_gets_an_inode_of_its_own(bench, monkeypatch, known):
    """Cut off behind the link: where names are not counted nobody knows that it is alone."""
    monkeypatch.setattr(sources, "count_names", lambda path: min(os.lstat(path).st_nlink, 1))
    source = bench.put("a")
    incoming = bench.incoming("a")
    (each,), _, _ = bench.parts.receiving.reserve([incoming], 1.0, bench.parts.clock.stamp)
    target = os.path.join(bench.folder(each.session), each.instance.place.path)
    files.make_folder(os.path.dirname(target))
    os.link(source, target)
    if known:
        assert 1 == settle_hands(bench.parts)
    else:
        make_all_own([target])
    with open(source, "ab") as late:
        late.write(b"more")
    assert incoming.examined.digest == files.digest(target)
    assert [os.path.basename(target)] == os.listdir(os.path.dirname(target))


def test_one_that_is_alone_is_not_copied(bench):
    """Where names are counted, and there is one, what lies in the tree stays the inode it is."""
    path = bench.put("a")
    before = os.stat(path)
    make_all_own([path])
    assert os.path.samestat(before, os.stat(path))
    assert sources.is_alone(bench.path("gone"))


@pytest.mark.parametrize("follows", [False, True])
def test_a_source_that_goes_meanwhile(bench, monkeypatch, follows):
    """Its sender took its name away behind the link, for another file or none: the link stays."""
    source, link = bench.put("a"), sources.link_from
    other = f"{bench.drop.path}-other"

    def taken(*given):
        link(*given)
        os.remove(source)
        if follows:
            os.rename(other, source)

    with open(other, "wb") as file:
        file.write(b"other")
    monkeypatch.setattr(sources, "link_from", taken)
    target = f"{bench.drop.path}-target"
    incoming = bench.incoming("a")
    assert put(bench.parts, bench.drop, incoming, target)
    assert incoming.examined.digest == files.digest(target)
    assert (["a"] if follows else []) == os.listdir(bench.drop.path)


def test_a_source_that_is_renamed_meanwhile(bench, monkeypatch):
    """Where names are not counted its new name may reach what was filed: it is back in the drop."""
    monkeypatch.setattr(sources, "count_names", lambda path: min(os.lstat(path).st_nlink, 1))
    source, link = bench.put("a"), sources.link_from

    def renamed(*given):
        link(*given)
        os.rename(source, f"{source}-2")

    monkeypatch.setattr(sources, "link_from", renamed)
    target = f"{bench.drop.path}-target"
    with pytest.raises(ChangedError):
        put(bench.parts, bench.drop, bench.incoming("a"), target)
    assert (["a", "a-2"], False) == (sorted(os.listdir(bench.drop.path)), os.path.exists(target))


def test_a_source_that_is_written_meanwhile(bench, monkeypatch):
    """A link that shows other content than was read is taken back; the source stays."""
    source, link = bench.put("a"), sources.link_from

    def written(*given):
        with open(source, "ab") as late:
            late.write(b"more")
        link(*given)

    monkeypatch.setattr(sources, "link_from", written)
    with pytest.raises(ChangedError):
        put(bench.parts, bench.drop, bench.incoming("a"), f"{bench.drop.path}-target")
    assert ["a"] == os.listdir(bench.drop.path)
