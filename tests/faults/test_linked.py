"""A file that was linked into place and its source: whoever comes between, only what was read is
filed, and nothing else is lost.
"""

import os
from pathlib import Path

import pytest
from faults import aftermath, scenes
from faults.trials import Driver
from world import md5

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]
SOURCE = "drops/linked/a/1"
ASIDE = f"{os.path.dirname(SOURCE)}/.watcher-leaving-"  # what it is called just before


@pytest.fixture(scope="module")
def driver():
    with Driver() as one:
        yield one


def archived(root):
    """The digests of what the archive's catalogs list."""
    assert [] == aftermath.wrong_entries(root) + aftermath.uncatalogued(root)
    return sorted(map(md5, Path(root, "store/archive").rglob("*.dcm")))


def linked(root):
    """A file of the prearchive with its source's inode, if there is one."""
    inode = os.stat(f"{root}/{SOURCE}").st_ino
    here = Path(root, "store/prearchive").rglob("*.dcm")
    return next((path for path in here if path.stat().st_ino == inode), None)


def killed_before_the_source_goes(root, driver):
    """Filed, and the source lies there still: one inode, two names."""
    config = scenes.furnish(root, linked='project = "AUTO"')
    scenes.put(root, "linked", "a/1", sop=1)
    answer = driver(config=config, do="run", match=f"os.rename {ASIDE}")
    assert -9 == answer["code"]
    assert linked(root) is not None
    return config


def rewrite(root, **values):
    """The sender writes another file over its own, in place; gives the digest."""
    other = scenes.put(root, "linked", "a/.other", sop=1, **values)
    with open(f"{root}/{SOURCE}", "r+b") as file:
        file.write(Path(other).read_bytes())
    os.remove(other)
    return md5(f"{root}/{SOURCE}")


class TestBeforeTheNextStart:
    """A crash before the source is removed; the sender comes, then the start."""

    def test_untouched(self, tmp_path, driver, row):
        """It is filed once, as an inode of its own, and the source goes."""
        root = str(tmp_path)
        config = killed_before_the_source_goes(root, driver)
        sent = md5(f"{root}/{SOURCE}")
        assert 0 == driver(config=config, do="run")["code"]
        assert ([sent], set()) == (archived(root), aftermath.dropped(root))
        row("source linked still after a crash", "left as it is").ran()

    @pytest.mark.parametrize("lost", [False, True], ids=["ledger", "no ledger"])
    def test_rewritten_in_place(self, tmp_path, driver, row, lost):
        """What was recorded is there no more: the file is read again, and filed as it is now."""
        root = str(tmp_path)
        config = killed_before_the_source_goes(root, driver)
        before = md5(f"{root}/{SOURCE}")
        sent = rewrite(root, PatientSex="O")
        assert before != sent
        if lost:
            scenes.lose_ledger(root)
        assert 0 == driver(config=config, do="run")["code"]
        assert ([sent], set()) == (archived(root), aftermath.dropped(root))
        row("source linked still after a crash", "rewritten in place").ran()

    def test_torn_in_place(self, tmp_path, driver, row):
        """The sender is not done: nothing of it is archived until it is, and nothing is lost."""
        root = str(tmp_path)
        config = killed_before_the_source_goes(root, driver)
        whole = Path(root, SOURCE).read_bytes()
        os.truncate(f"{root}/{SOURCE}", len(whole) // 2)
        assert 3 == driver(config=config, do="run")["code"]
        assert ([], ["1"]) == (archived(root), os.listdir(f"{root}/drops/linked/a"))
        assert [] == list(Path(root, "store/prearchive").rglob("*.dcm"))
        with open(f"{root}/{SOURCE}", "ab") as file:
            file.write(whole[len(whole) // 2 :])
        assert 0 == driver(config=config, do="run")["code"]
        assert [aftermath.md5(path) for path in Path(root, "store/archive").rglob("*.dcm")]
        assert set() == aftermath.dropped(root)
        row("source linked still after a crash", "cut short in place").ran()

    @pytest.mark.parametrize("lost", [False, True], ids=["ledger", "no ledger"])
    def test_open_and_written_after_the_start(self, tmp_path, driver, row, lost):
        """Somebody has the source open over the start and writes then: it is another file."""
        root = str(tmp_path)
        config = killed_before_the_source_goes(root, driver)
        sent = md5(f"{root}/{SOURCE}")
        if lost:
            scenes.lose_ledger(root)
        with open(f"{root}/{SOURCE}", "r+b") as writer:
            assert 3 == driver(config=config, do="run")["code"]  # it waits; its session rests
            writer.seek(0, os.SEEK_END)
            writer.write(b"more")
        assert {sent} == {md5(path) for path in Path(root, "store").rglob("*.dcm")}
        assert md5(f"{root}/{SOURCE}") != sent
        row("source linked still after a crash", "open over the start, then written").ran()

    def test_gone_and_written_by_who_had_it_open(self, tmp_path, driver, row):
        """Its name went, the writer did not: the only name there is stays, and is read anew."""
        root = str(tmp_path)
        config = killed_before_the_source_goes(root, driver)
        sent = rewrite(root, PatientSex="O")
        os.remove(f"{root}/{SOURCE}")
        assert 0 == driver(config=config, do="run")["code"]
        assert [sent] == archived(root)
        row("source gone, its inode written to", "by who had it open").ran()
