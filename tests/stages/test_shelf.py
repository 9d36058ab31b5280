"""What is archived, as its documents tell: catalogs of every kind are merged into."""

import gzip
import os
import re

import pytest
from makers import make_dicom

from watcher.core.errors import DocumentError
from watcher.core.session import Status
from watcher.dicom import catalog, document
from watcher.io import files, journal
from watcher.stages import decide
from watcher.stages.archive import archive
from watcher.stages.refresh import refresh
from watcher.stages.validate import judge
from watcher.stages.verify import verify

PERSON = {"who": "anna", "reason": "as the study says"}
NAME = "SCANS/1/DICOM/scan_1_catalog.xml"


@pytest.fixture
def shelf(bench):
    """An archived session of three files, and what changes its catalog."""
    bench.archived(1, 2, 3)
    return Catalog(bench)


class Catalog:
    """The one catalog of an archived session."""

    def __init__(self, bench):
        self.bench = bench
        self.path = os.path.join(bench.shelf(), NAME)
        self.folder = os.path.dirname(self.path)

    def edit(self, pattern, text, count=0):
        before = files.read(self.path)
        after = re.sub(pattern, text, before, count=count)
        assert before != after
        files.swap(self.path, after)

    def entries(self, path=None):
        found = catalog.read(files.read(path or self.path))[1]
        return {each.uid: each for each in found}

    def xml(self, old, new):
        path = f"{self.bench.shelf()}.xml"
        files.swap(path, files.read(path).replace(old, new))

    def names(self):
        return sorted(name for name in os.listdir(self.folder) if name.endswith(".dcm"))


def uids(*numbers):
    return {f"1.2.3.9.{number}" for number in numbers}


def faults(bench, session):
    """The catalog-missing findings of a session."""
    return [each.text for each in session.findings if each.code == "catalog-missing"]


def nothing(shelf):
    os.remove(shelf.path)


def empty(shelf):
    files.swap(shelf.path, b"")


def torn(shelf):
    data = files.read(shelf.path)
    files.swap(shelf.path, data[: int(len(data) * 0.6)])


def no_entries(shelf):
    shelf.edit(rb"(?s)<cat:entry .*</cat:entry>", b"")


def no_uids(shelf):
    shelf.edit(rb' UID="1\.2\.3\.9\.[0-9]+"', b"")


BROKEN = {
    nothing: "is missing",
    empty: "can't be read",
    torn: "can't be read",
    no_entries: "lists nothing",
    no_uids: "lists files without their UIDs",
}


class TestBroken:
    """A catalog that can't be used is rebuilt from its files first, and said."""

    @pytest.mark.parametrize("breaks", BROKEN)
    def test_it_is_merged_into_all_the_same(self, bench, shelf, breaks):
        """Known files are known, new ones are added, nothing is lost; the old is in the history."""
        breaks(shelf)
        old = files.read_if_there(shelf.path)
        bench.filed(2)
        session = bench.rebuilt(bench.filed(4))
        (text,) = faults(bench, session)
        assert BROKEN[breaks] in text
        done = archive(bench.parts, session.id)
        assert (Status.ARCHIVED, uids(1, 2, 3, 4)) == (done.status, shelf.entries().keys())
        assert 4 == len(shelf.names())
        kept = [data for path, data in bench.kept_aside().items() if path.endswith(NAME)]
        assert [old] * (old is not None) == kept
        assert ["catalog"] * (old is not None) == [each["kind"] for each in bench.reasons()]
        assert {"added": 1, "same": 1}.items() <= bench.events("session.merged")[-1].items()
        assert [] == bench.untrue()

    @pytest.mark.parametrize("breaks", BROKEN)
    def test_it_is_mended_once(self, bench, shelf, breaks):
        """The next merge finds it sound, and puts nothing into the history."""
        breaks(shelf)
        bench.archived(2)
        before = bench.kept_aside()
        session = bench.rebuilt(bench.filed(5))
        assert [] == faults(bench, session)
        archive(bench.parts, session.id)
        assert before == bench.kept_aside()
        assert uids(1, 2, 3, 5) == shelf.entries().keys()

    def test_what_it_can_still_tell_is_believed(self, bench, shelf):
        """A damaged file keeps the digest that a torn catalog still has of it."""
        entry = next(iter(shelf.entries().values()))
        path = os.path.join(shelf.folder, entry.uri)
        data = bytearray(files.read(path))
        data[-1] ^= 1
        files.swap(path, bytes(data))
        shelf.edit(b"</cat:DCMCatalog>", b"")
        bench.archived(4)
        assert entry.digest == shelf.entries()[entry.uid].digest

    def test_entries_that_no_file_explains_stay(self, bench, shelf):
        """Without UIDs: an entry of a lost file, and one that is no DICOM, are not dropped."""
        shelf.edit(rb' UID="1\.2\.3\.9\.[0-9]+"', b"")
        extra = b'<cat:entry URI="%s" format="%s" xsi:type="cat:dcmEntry"/>'
        lost = extra % (b"lost.dcm", b"DICOM") + extra % (b"a.png", b"PNG")
        shelf.edit(b"</cat:entries>", lost + b"</cat:entries>")
        bench.archived(4)
        found = catalog.read(files.read(shelf.path))[1]
        assert {"lost.dcm", "a.png"} <= {each.uri for each in found}
        assert uids(1, 2, 3, 4) <= {each.uid for each in found}
        before = bench.kept_aside()
        bench.archived(4)  # again: what can't be mended is not kept a second time
        assert before == bench.kept_aside()

    def test_a_damaged_file_keeps_its_digest(self, bench, shelf):
        """What a catalog without UIDs says of a file stays, also where the file is another now."""
        shelf.edit(rb' UID="1\.2\.3\.9\.[0-9]+"', b"")
        entry = catalog.read(files.read(shelf.path))[1][0]
        path = os.path.join(shelf.folder, entry.uri)
        data = bytearray(files.read(path))
        data[-1] ^= 1
        files.swap(path, bytes(data))
        bench.archived(4)
        assert entry.digest in {each.digest for each in shelf.entries().values()}

    def test_a_differing_file_is_still_found(self, bench, shelf):
        """A newcomer with other bytes is a conflict, not a second file."""
        nothing(shelf)
        session = bench.rebuilt(bench.again(2))
        assert {"instance-differs"} == {each.code for each in session.findings if each.blocks}

    def test_an_empty_catalog_of_an_empty_scan_is_sound(self, bench, shelf):
        """No entries and no files: there is nothing to rebuild."""
        no_entries(shelf)
        for name in shelf.names():
            os.remove(os.path.join(shelf.folder, name))
        session = bench.rebuilt(bench.filed(4))
        assert [] == faults(bench, session)
        archive(bench.parts, session.id)
        assert (uids(4), {}) == (shelf.entries().keys(), bench.kept_aside())


class TestZipped:
    """Catalogs that XNAT compressed."""

    def test_zipped_under_its_own_name(self, bench, shelf):
        """`.xml` that holds gzip is read; what is written is plain."""
        files.swap(shelf.path, gzip.compress(files.read(shelf.path)))
        bench.archived(2, 4)
        assert uids(1, 2, 3, 4) == shelf.entries().keys()
        assert files.read(shelf.path).startswith(b"<?xml")
        assert ([], {}) == (bench.untrue(), bench.kept_aside())

    def test_zipped_beside_it(self, bench, shelf):
        """`.xml.gz` where the XML says `.xml`: the plain one takes over, the old is kept."""
        zipped = f"{shelf.path}.gz"
        old = gzip.compress(files.read(shelf.path))
        files.swap(zipped, old)
        os.remove(shelf.path)
        bench.archived(2)
        assert (True, {}) == (os.path.exists(zipped), bench.kept_aside())
        bench.archived(2, 4)
        assert (False, [old]) == (os.path.exists(zipped), list(bench.kept_aside().values()))
        assert uids(1, 2, 3, 4) == shelf.entries().keys()
        assert [] == bench.untrue()

    def test_zipped_as_the_xml_says(self, bench, shelf):
        """A catalog named `.xml.gz` stays one, and zipped."""
        zipped = f"{shelf.path}.gz"
        files.swap(zipped, gzip.compress(files.read(shelf.path)))
        os.remove(shelf.path)
        shelf.xml(NAME.encode(), f"{NAME}.gz".encode())
        bench.archived(2, 4)
        assert uids(1, 2, 3, 4) == shelf.entries(zipped).keys()
        assert (b"\x1f\x8b", False) == (files.read(zipped)[:2], os.path.exists(shelf.path))
        assert ([], {}) == (bench.untrue(), bench.kept_aside())

    def test_torn_beside_it(self, bench, shelf):
        """Half a `.xml.gz`: rebuilt from the files, the half is kept."""
        old = gzip.compress(files.read(shelf.path))[:-30]
        files.swap(f"{shelf.path}.gz", old)
        os.remove(shelf.path)
        bench.archived(4)
        assert (uids(1, 2, 3, 4), [old]) == (
            shelf.entries().keys(),
            list(bench.kept_aside().values()),
        )


class TestUris:
    """Which file an entry means."""

    def test_nested_sets(self, bench, shelf):
        """Entries in sets of sets are entries."""
        shelf.edit(
            rb"(?s)<cat:entries>(.*)</cat:entries>",
            rb'<cat:sets><cat:entrySet ID="a"><cat:entries>\1</cat:entries></cat:entrySet>'
            rb"</cat:sets>",
        )
        bench.archived(2, 4)
        assert uids(1, 2, 3, 4) == shelf.entries().keys()
        assert {"added": 1, "same": 1}.items() <= bench.events("session.merged")[-1].items()

    @pytest.mark.parametrize("kind", ["absolute", "file", "percent-encoded", "in a folder"])
    def test_files_are_found_by_them(self, bench, shelf, kind):
        """Known files are dropped, differing ones compared and replaced, whatever the URI."""
        if kind == "percent-encoded":
            for name in shelf.names():
                os.rename(os.path.join(shelf.folder, name), os.path.join(shelf.folder, f"a {name}"))
            shelf.edit(rb' URI="', b' URI="a%20')
        elif kind == "in a folder":
            os.mkdir(os.path.join(shelf.folder, "sub"))
            for name in shelf.names():
                old = os.path.join(shelf.folder, name)
                os.rename(old, os.path.join(shelf.folder, "sub", name))
            shelf.edit(rb' URI="', b' URI="sub/')
        else:
            head = b"file:///old" if kind == "file" else b"/old"
            shelf.edit(rb' URI="', b' URI="%s/P1/arc001/P1/SCANS/1/DICOM/' % head)
        bench.archived(2)
        assert {"added": 0, "same": 1}.items() <= bench.events("session.merged")[-1].items()
        old = shelf.entries()["1.2.3.9.3"]
        session = bench.again(3)
        done = decide.archive_now(bench.parts, session.id, overwrite=True, **PERSON)
        entry = shelf.entries()["1.2.3.9.3"]
        assert (Status.ARCHIVED, True) == (done.status, entry.digest != old.digest)
        assert 1 == len(bench.kept_aside())
        assert [] == bench.untrue()

    @pytest.mark.parametrize(
        "uri", ["../../../../../outside", "%2e%2e/../../../../../outside", "", ".", ".."]
    )
    def test_none_leads_out_of_the_session(self, bench, shelf, uri):
        """What points outside is never compared with, moved or removed; the newcomer goes in."""
        path = os.path.join(bench.parts.storage.path("archive"), "P1", "outside")
        outside = files.read(make_dicom(path, sop="1.2.3.9.3"))
        shelf.edit(rb' URI="[^"]*"( [^>]* UID="1\.2\.3\.9\.3")', b' URI="%s"\\1' % uri.encode())
        session = bench.again(3)
        done = decide.archive_now(bench.parts, session.id, overwrite=True, **PERSON)
        assert (Status.ARCHIVED, outside) == (done.status, files.read(path))
        assert {} == bench.kept_aside()

    def test_a_catalog_s_own_path_may_be_encoded(self, bench, shelf):
        """The XML names the catalog percent-encoded: the one that is there is used."""
        os.rename(os.path.dirname(shelf.folder), f"{bench.shelf()}/SCANS/a 1")
        shelf.xml(b"SCANS/1/DICOM", b"SCANS/a%201/DICOM")
        session = bench.rebuilt(bench.filed(2))
        assert ({"same-instance", "session-exists"}, ["a 1"]) == (
            {each.code for each in session.findings},
            os.listdir(f"{bench.shelf()}/SCANS"),
        )

    def test_one_file_under_two_names(self, bench, shelf):
        """Replaced, it is listed nowhere any more."""
        entry = shelf.entries()["1.2.3.9.3"]
        second = b'<cat:entry URI="./%s" UID="1.2.3.9.3" xsi:type="cat:dcmEntry"/></cat:entries>'
        shelf.edit(b"</cat:entries>", second % entry.uri.encode())
        session = bench.again(3)
        decide.archive_now(bench.parts, session.id, overwrite=True, **PERSON)
        listed = [each.uri for each in catalog.read(files.read(shelf.path))[1]]
        assert (3, set()) == (len(listed), {uri for uri in listed if entry.uri in uri})


class TestMissingFiles:
    """The catalog lists what is not there."""

    def test_a_newcomer_takes_the_place_of_a_lost_file(self, bench, shelf):
        """Listed once, counted once, there again."""
        entry = shelf.entries()["1.2.3.9.2"]
        os.remove(os.path.join(shelf.folder, entry.uri))
        bench.archived(2)
        assert uids(1, 2, 3) == shelf.entries().keys()
        assert 3 == bench.parts.registry.shelf("P1", "P1").files
        assert [] == bench.untrue()

    def test_also_under_another_name(self, bench, shelf):
        """The lost file had another name: its entry goes, and the newcomer's comes."""
        entry = shelf.entries()["1.2.3.9.2"]
        os.remove(os.path.join(shelf.folder, entry.uri))
        shelf.edit(entry.uri.encode(), b"old.dcm")
        bench.archived(2)
        assert entry.uri == shelf.entries()["1.2.3.9.2"].uri
        assert [] == bench.untrue()

    def test_one_that_differs_from_what_is_lost_waits(self, bench, shelf):
        """Nobody can say which of the two was right: an ERROR for an administrator."""
        entry = shelf.entries()["1.2.3.9.2"]
        os.remove(os.path.join(shelf.folder, entry.uri))
        with pytest.raises(DocumentError, match="is gone"):
            judge(bench.parts, bench.again(2))


class TestOnlyCopies:
    """What the archive has not, or not whole, is neither dropped for nor forgotten."""

    def test_a_newcomer_is_dropped_only_for_a_file_of_its_size(self, bench, shelf):
        """Its catalog tells no SIZE, and the archived file is empty: neither copy may go."""
        shelf.edit(rb'(<cat:metaField name="SIZE">)[0-9]+', rb"\1")
        files.swap(os.path.join(shelf.folder, shelf.entries()["1.2.3.9.2"].uri), b"")
        with pytest.raises(DocumentError, match="is not what its catalog says"):
            judge(bench.parts, bench.filed(2))

    def test_damage_stays_listed_when_its_catalog_is_torn(self, bench, shelf):
        """A garbled file, one that is gone, one of another series: each keeps its digest."""
        garbled, gone, other = (shelf.entries()[f"1.2.3.9.{number}"] for number in (1, 2, 3))
        files.swap(os.path.join(shelf.folder, garbled.uri), b"garbage" * 50)
        os.remove(os.path.join(shelf.folder, gone.uri))
        path = os.path.join(shelf.folder, other.uri)
        make_dicom(path, study="1.2.3", series="1.2.3.77", sop="1.2.3.9.3", instance=3)
        digest = files.digest(path)
        shelf.edit(other.digest.encode(), digest.encode())
        shelf.edit(b"</cat:DCMCatalog>", b"")
        assert Status.ARCHIVED is bench.archived(4).status
        listed = {each.uri: each.digest for each in catalog.read(files.read(shelf.path))[1]}
        lost = {garbled.uri: garbled.digest, gone.uri: gone.digest}
        assert {**lost, other.uri: digest}.items() <= listed.items()
        assert {(f"SCANS/1/DICOM/{uri}", flaw) for uri, flaw in zip(lost, FLAWS, strict=True)} == {
            (each.path, each.code) for each in verify(bench.parts, "P1", "P1").damage
        }

    def test_a_lost_file_of_a_lost_catalog_is_still_counted(self, bench, shelf):
        """The XML counts it, merge after merge, so `verify` can tell."""
        nothing(shelf)
        os.remove(os.path.join(shelf.folder, shelf.names()[0]))
        bench.archived(4)
        bench.archived(5)
        (text,) = (
            flaw.text for flaw in verify(bench.parts, "P1", "P1").flaws if " files " in flaw.text
        )
        assert "scan 1 DICOM: 5 files by the session XML, 4 by the catalog" == text

    def test_what_another_catalog_lists_is_not_replaced(self, bench, shelf):
        """It would go on listing a file that is gone: nothing is overwritten, `verify` says it."""
        bench.archived(9, series="2", SeriesNumber=2)
        entry = shelf.entries()["1.2.3.9.3"]
        path = os.path.join(bench.shelf(), "SCANS/2/DICOM/scan_2_catalog.xml")
        more = b'<cat:entry URI="/old/SCANS/1/DICOM/%s"/></cat:entries>' % entry.uri.encode()
        files.swap(path, files.read(path).replace(b"</cat:entries>", more))
        session = bench.again(3)
        done = decide.archive_now(bench.parts, session.id, overwrite=True, **PERSON)
        assert (Status.CONFLICT, {}) == (done.status, bench.kept_aside())
        assert ("twice-listed", f"SCANS/1/DICOM/{entry.uri}") in {
            (flaw.code, flaw.path) for flaw in verify(bench.parts, "P1", "P1").flaws
        }

    def test_counted_are_files_and_what_they_have(self, bench, shelf):
        """No SIZE, one file twice, and one replaced: the XML has what `verify` counts."""
        shelf.edit(rb'(<cat:metaField name="SIZE">)[0-9]+', rb"\1")
        entry = shelf.entries()["1.2.3.9.1"]
        second = b'<cat:entry URI="./%s" UID="1.2.3.9.1" xsi:type="cat:dcmEntry"/></cat:entries>'
        shelf.edit(b"</cat:entries>", second % entry.uri.encode())
        session = bench.again(3)
        bench.filed(4)
        done = decide.archive_now(bench.parts, session.id, overwrite=True, **PERSON)
        size = sum(os.path.getsize(os.path.join(shelf.folder, name)) for name in shelf.names())
        assert (Status.ARCHIVED, {"twice-listed"}) == (
            done.status,
            {flaw.code for flaw in verify(bench.parts, "P1", "P1").flaws},
        )
        assert (4, size) == document.totals(files.read(f"{bench.shelf()}.xml"))


FLAWS = ("changed", "missing")  # of a file that was garbled, and of one that is gone


class TestLostXml:
    """A label with files and no session XML is not new."""

    def test_nobody_else_s_session_goes_there(self, bench, shelf):
        """ERROR, naming the command that brings the XML back; with it, the session goes in."""
        os.remove(f"{bench.shelf()}.xml")
        session = bench.built(4, series="5", SeriesNumber=5)
        assert (Status.ERROR, True) == (session.status, "watcher refresh P1/P1" in session.error)
        refresh(bench.parts, "P1", "P1", who="anna")
        done = decide.archive_now(bench.parts, session.id)
        assert (Status.ARCHIVED, []) == (done.status, bench.untrue())

    def test_links_of_an_own_try_are_nothing(self, bench):
        """Cut off before the first swap, its links and its log lie there: it is new still."""
        session = bench.built(1)
        (one,) = bench.parts.ledger.instances(session.id)
        target = os.path.join(bench.shelf(), one.place.path)
        for path in (target, os.path.join(bench.shelf(), "logs", "events.jsonl")):
            files.make_folder(os.path.dirname(path))
        os.link(os.path.join(bench.folder(session), one.place.path), target)
        journal.append_line(os.path.join(bench.shelf(), "logs", "events.jsonl"), "{}")
        assert Status.ARCHIVED is archive(bench.parts, session.id).status


def test_scans_that_nothing_can_meet_are_not_read(bench, shelf):
    """The catalogs of other scans are not even opened: torn, they stop nobody."""
    torn(shelf)
    session = bench.rebuilt(bench.filed(4, series="2", SeriesNumber=2))
    assert [] == faults(bench, session)
    assert Status.ARCHIVED is archive(bench.parts, session.id).status
