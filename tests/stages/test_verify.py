"""`stages.verify`: all that can be wrong with an archived session is found, and only that."""

import gzip
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from archives import Archive, flip

from watcher.core.errors import MissingPlaceError, UnknownSessionError
from watcher.core.session import Status
from watcher.core.soundness import still
from watcher.io.digests import Digests
from watcher.stages import promise as promises
from watcher.stages.promise import Carry, Promise
from watcher.stages.verify import _Look, chosen, verify


@pytest.fixture
def kept(bench):
    return Archive(bench.parts, {1: 3, 2: 2})


def check(archive):
    return verify(archive.parts, archive.project, archive.label)


def found(archive):
    """The findings: code and path."""
    return [(flaw.code, flaw.path) for flaw in check(archive).flaws]


class TestSound:
    """Nothing wrong is nothing found."""

    def test_a_sound_session_has_no_finding(self, kept):
        """Files and bytes are counted, the verdict is ok, nothing is said."""
        checked = check(kept)
        size = sum(path.stat().st_size for path in kept.base.rglob("*.dcm"))
        assert (5, size, (), "ok") == (
            checked.files,
            checked.bytes,
            checked.flaws,
            checked.verdict,
        )

    def test_five_thousand_files(self, bench):
        """A healthy archive of 5000 files: none of them is suspected, and each is read once."""
        large = Archive(bench.parts, dict.fromkeys(range(1, 6), 1000))
        read = []
        checked = verify(bench.parts, "P1", "S1", seen=read.append)
        assert (5000, ()) == (checked.files, checked.flaws)
        assert (5000, checked.bytes) == (len(read), sum(read))
        flip(large.files("3")[500])
        assert [("changed", large.relative(large.files("3")[500]))] == found(large)

    def test_it_writes_nothing(self, kept):
        """A look changes no byte of the archive."""
        before = kept.bytes()
        flip(kept.files()[0])
        after = kept.bytes()
        check(kept)
        assert after == kept.bytes() != before

    def test_other_spellings_of_a_uri(self, kept):
        """Encoded, absolute and nested entries lead to their files."""
        first, second, third = kept.files()
        first.rename(first.with_name("a b.dcm"))

        def spell(entries):
            by_uri = {each.get("URI"): each for each in entries}
            by_uri[first.name].set("URI", "a%20b.dcm")
            by_uri[second.name].set(
                "URI", f"/data/archive/P1/arc001/S1/SCANS/1/DICOM/{second.name}"
            )
            by_uri[third.name].set("URI", f"./{third.name}")

        kept.edit(spell)
        assert [] == found(kept)

    def test_a_gzipped_catalog(self, kept):
        """XNAT may gzip a catalog, under its own name or with `.gz` after it."""
        for scan, ending in (("1", ""), ("2", ".gz")):
            path = kept.catalog(scan)
            data = gzip.compress(path.read_bytes())
            path.unlink()
            path.with_name(path.name + ending).write_bytes(data)
        assert [] == found(kept)


class TestMerging:
    """A merge may be under way."""

    @pytest.fixture
    def more(self, kept):
        """A file that a merge in progress has just placed."""
        session = replace(kept.session, id="20260620_091425123", status=Status.ARCHIVING)
        Path(kept.parts.storage.folder(session)).mkdir(parents=True)
        kept.parts.ledger.add(session, [])
        more = kept.add(9)
        write_plan(kept.parts, session, carries=[kept.relative(more)])
        return more

    def test_what_the_plan_names_is_half_done(self, kept, more):
        """Neither its links nor counts not yet swapped are findings; anything else is."""
        (more.parent / "notes.txt").write_text("x")
        more.with_name(f".{more.name}.new").write_text("x")
        kept.xml.write_text(kept.xml.read_text().replace('file_count="3"', 'file_count="4"'))
        assert [("extra", "SCANS/1/DICOM/notes.txt")] == found(kept)

    def test_a_session_that_is_only_just_being_archived(self, kept, more):
        """Its XML comes last: until then there is nothing to check."""
        kept.xml.unlink()
        assert [] == found(kept)

    def test_before_the_plan_nothing_is_half_done(self, kept, more):
        """Without a plan beside the session no file is anybody's."""
        (session,) = kept.parts.ledger.sessions((Status.ARCHIVING,))
        os.remove(kept.parts.storage.beside(session, "plan.json"))
        assert [("unlisted", kept.relative(more))] == found(kept)

    def test_a_catalog_swapped_meanwhile_is_judged_anew(self, kept):
        """A file that is retired between two looks is no longer listed, and no finding."""
        first, *_ = kept.files()
        digests = Digests(lambda: None, lambda _size: None)
        flip(first)
        before = check_once(kept, digests)
        first.unlink()
        kept.edit(
            lambda entries: [
                each.getparent().remove(each) for each in entries if each.get("URI") == first.name
            ]
        )
        after = check_once(kept, digests)
        assert ["changed"] == [flaw.code for flaw in before]
        assert () == tuple(flaw for flaw in still(before, after) if flaw.path != "S1.xml")


class TestFiles:
    """Files that are not what their catalog says."""

    def test_one_flipped_byte(self, kept):
        """Same name, size and times, one bit: `changed`, and the session is damaged."""
        flip(kept.files()[1])
        assert [("changed", kept.relative(kept.files()[1]))] == found(kept)
        assert "damaged" == check(kept).verdict

    def test_a_removed_file(self, kept):
        """Listed, and not there."""
        gone = kept.files()[1]
        gone.unlink()
        assert [("missing", kept.relative(gone))] == found(kept)

    def test_a_link_is_no_file(self, kept):
        """A symbolic link in a file's place counts as missing: nothing is read behind it."""
        path = kept.files()[0]
        path.rename(kept.base.parent / "elsewhere")
        path.symlink_to(kept.base.parent / "elsewhere")
        assert [("missing", kept.relative(path))] == found(kept)

    @pytest.mark.parametrize("place", ["SCANS/1/DICOM", "SCANS/1", "SCANS", "", "odd"])
    def test_a_link_is_no_folder(self, kept, tmp_path, place):
        """One line for a link in a folder's place: nothing behind it is looked at, or followed."""
        path, away = os.path.join(kept.base, place).rstrip("/"), tmp_path / "away"
        if os.path.isdir(path):
            shutil.move(path, away)
        else:
            away.mkdir()
        os.symlink(away, path)
        before = sorted(os.listdir(away))
        assert [("unreadable", place or "S1")] == found(kept)
        assert before == sorted(os.listdir(away))

    def test_a_shortened_file(self, kept):
        """Shorter than its SIZE is torn, longer is changed."""
        short, long, _ = kept.files()
        os.truncate(short, 300)
        long.write_bytes(long.read_bytes() + b"x")
        assert [
            ("changed", kept.relative(long)),
            ("torn", kept.relative(short)),
        ] == sorted(found(kept))

    def test_without_digest_the_size_tells(self, kept):
        """An old catalog without digests: a file of another size is damaged, others are sound."""
        kept.edit(lambda entries: [each.attrib.pop("digest") for each in entries])
        assert [] == found(kept)
        os.truncate(kept.files()[0], 300)
        assert [("torn", kept.relative(kept.files()[0]))] == found(kept)

    def test_a_wrong_size_beside_a_digest_that_fits(self, kept):
        """The catalog is wrong, not the file: untidy."""
        kept.catalog().write_text(
            kept.catalog().read_text().replace('name="SIZE">1', 'name="SIZE">2', 1)
        )
        kept.xml.write_text(kept.xml.read_text())
        assert {"count"} == {code for code, _ in found(kept)}
        assert "untidy" == check(kept).verdict

    @pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
    def test_a_file_that_may_not_be_read(self, kept):
        """Nothing can be said of its bytes, and that is said; the rest goes on."""
        kept.files()[0].chmod(0)
        assert [("unreadable", kept.relative(kept.files()[0]))] == found(kept)

    def test_extra_and_unlisted_files(self, kept):
        """A DICOM file beside its catalog is unlisted, all else is extra; our log is neither."""
        more = kept.add(9)
        (kept.base / "notes.txt").write_text("x")
        (more.parent / "thumbs.gif").write_text("GIF89a")
        (kept.base / "loose.dcm").write_bytes(more.read_bytes())
        assert [
            ("extra", "SCANS/1/DICOM/thumbs.gif"),
            ("extra", "loose.dcm"),
            ("extra", "notes.txt"),
            ("unlisted", kept.relative(more)),
        ] == sorted(found(kept))
        assert "untidy" == check(kept).verdict


class TestDocuments:
    """Catalogs and session XML that are wrong."""

    def test_a_truncated_catalog(self, kept):
        """Torn; its files are not called unlisted, for what it listed is not known."""
        os.truncate(kept.catalog(), kept.catalog().stat().st_size // 2)
        assert [("torn", kept.relative(kept.catalog()))] == found(kept)

    def test_an_empty_and_a_missing_catalog(self, kept):
        """Empty is torn, gone is missing."""
        kept.catalog("1").write_bytes(b"")
        kept.catalog("2").unlink()
        assert [
            ("missing", kept.relative(kept.catalog("2"))),
            ("torn", kept.relative(kept.catalog("1"))),
        ] == sorted(found(kept))

    def test_a_duplicated_entry(self, kept):
        """One file in two entries."""
        double(kept)
        assert ("twice-listed", kept.relative(kept.files()[0])) in found(kept)

    def test_contradicting_entries_of_one_file(self, kept):
        """Where one of two entries fits the bytes the file is no damage."""
        double(kept, digest="0" * 32)
        assert {"twice-listed"} == {code for code, _ in found(kept)}

    def test_one_instance_in_two_files(self, kept):
        """Two files listed with one SOP and class UID."""
        first, second, _ = kept.files()
        uid = kept.entries()[first.name].uid
        kept.edit(
            lambda entries: [
                each.set("UID", uid) for each in entries if each.get("URI") == second.name
            ]
        )
        assert [("twice-listed", kept.relative(second))] == found(kept)

    def test_counts_that_disagree(self, kept):
        """The session XML counts other than the catalog does: files, and bytes."""
        edit = kept.xml.read_text().replace('file_count="3"', 'file_count="7"')
        kept.xml.write_text(edit)
        (flaw,) = check(kept).flaws
        assert ("count", "S1.xml") == (flaw.code, flaw.path)
        assert "scan 1 DICOM: 7 files by the session XML, 3 by the catalog" == flaw.text

    def test_what_is_not_counted_is_not_wrong(self, kept):
        """XML of others may count nothing."""
        text = kept.xml.read_text()
        kept.xml.write_text(text.replace(' file_count="3"', "").replace(' file_count="2"', ""))
        assert [] == found(kept)

    def test_documents_the_schemas_refuse(self, kept):
        """The first fault of each, without a value of the document."""
        kept.xml.write_text(
            kept.xml.read_text().replace("<xnat:scans", "<xnat:secret/><xnat:scans")
        )
        kept.edit(lambda entries: entries[0].set("instanceNumber", "DOE"))
        flaws = check(kept).flaws
        assert {("schema", "S1.xml"), ("schema", kept.relative(kept.catalog()))} == {
            (flaw.code, flaw.path) for flaw in flaws
        }
        assert not any("DOE" in flaw.text for flaw in flaws)

    def test_a_torn_session_xml(self, kept):
        """Torn; the catalogs are found in the tree, and their files are checked all the same."""
        os.truncate(kept.xml, 200)
        flip(kept.files()[0])
        assert [("torn", "S1.xml"), ("changed", kept.relative(kept.files()[0]))] == sorted(
            found(kept), reverse=True
        )

    def test_a_missing_session_xml(self, kept):
        """Missing."""
        kept.xml.unlink()
        assert [("missing", "S1.xml")] == found(kept)

    def test_a_session_that_only_the_index_knows(self, kept):
        """Folder and XML gone: still a session, and damaged."""
        shutil.rmtree(kept.base)
        kept.xml.unlink()
        assert [("P1", "S1")] == chosen(kept.parts, ["P1/S1"])
        assert [("missing", "S1.xml")] == found(kept)

    def test_a_catalog_the_xml_does_not_name(self, kept):
        """Unlisted; what it lists is listed, and checked."""
        more = Archive(kept.parts, {3: 2}, label="S2")
        shutil.copytree(more.base / "SCANS" / "3", kept.base / "SCANS" / "3")
        flip(kept.files("3")[0])
        assert [
            ("changed", kept.relative(kept.files("3")[0])),
            ("unlisted", kept.relative(kept.catalog("3"))),
        ] == sorted(found(kept))

    def test_a_resource_of_the_session(self, kept):
        """What the XML names outside of scans is listed too: a catalog, and a plain file."""
        folder = kept.base / "RESOURCES" / "NOTES"
        folder.mkdir(parents=True)
        (folder / "note.txt").write_text("x")
        (folder / "notes_catalog.xml").write_text(
            '<cat:Catalog xmlns:cat="http://nrg.wustl.edu/catalog"><cat:entries>'
            '<cat:entry URI="note.txt" ID="note.txt"/></cat:entries></cat:Catalog>'
        )
        (kept.base / "report.pdf").write_text("x")
        named = (
            '<xnat:resources><xnat:resource label="NOTES"'
            ' URI="/data/archive/P1/arc001/S1/RESOURCES/NOTES/notes_catalog.xml"'
            ' xsi:type="xnat:resourceCatalog"/>'
            '<xnat:resource label="PDF" URI="report.pdf" xsi:type="xnat:resource"/>'
            "</xnat:resources>"
        )
        text = kept.xml.read_text()
        at = text.index("<xnat:subject_ID")
        kept.xml.write_text(text[:at] + named + text[at:])
        assert [] == [one for one in found(kept) if one[0] != "schema"]
        (folder / "note.txt").unlink()
        (kept.base / "report.pdf").unlink()
        assert [("missing", "RESOURCES/NOTES/note.txt"), ("missing", "report.pdf")] == [
            one for one in found(kept) if one[0] != "schema"
        ]


class TestSaying:
    """The condition on a damaged session."""

    def test_damage_is_said_once_and_cleared_once(self, kept, bench):
        """`archive.damaged` at the first look, `archive.verified` when it is sound again."""
        flip(kept.files()[0])
        check(kept)
        check(kept)
        flip(kept.files()[0])
        check(kept)
        check(kept)
        events = [event for event, _ in bench.said if event.startswith("archive.")]
        assert ["archive.damaged", "archive.verified"] == events
        (fields,) = bench.events("archive.damaged")
        assert ("archive/P1/S1", "P1", "S1", 1, kept.relative(kept.files()[0])) == tuple(
            fields[name] for name in ("key", "project", "label", "count", "path")
        )

    def test_what_is_only_untidy_is_no_condition(self, kept, bench):
        """An extra file loses nothing."""
        (kept.base / "notes.txt").write_text("x")
        check(kept)
        assert [] == bench.events("archive.damaged")

    def test_a_store_that_is_missing_is_no_damage(self, kept, bench):
        """Nothing is concluded from absence: MissingPlaceError, and no condition."""
        os.remove(bench.parts.storage.marker("archive"))
        kept.files()[0].unlink()
        with pytest.raises(MissingPlaceError):
            check(kept)
        with pytest.raises(MissingPlaceError):
            chosen(bench.parts, [])
        assert [] == bench.said


class TestChosen:
    """Which sessions are meant."""

    def test_all_a_project_one(self, kept, bench):
        """Nothing said is everything; a project is all of it; labels are whole."""
        Archive(bench.parts, {1: 1}, label="S2")
        Archive(bench.parts, {1: 1}, project="P2", label="S1")
        assert [("P1", "S1"), ("P1", "S2"), ("P2", "S1")] == chosen(bench.parts, [])
        assert [("P1", "S1"), ("P1", "S2")] == chosen(bench.parts, ["P1", "P1/S2"])
        assert [("P1", "S2")] == chosen(bench.parts, ["P1/S2"])

    def test_a_known_project_without_sessions(self, bench):
        """Nothing to check is nothing wrong."""
        assert [] == chosen(bench.parts, ["MANUAL"])
        assert [] == chosen(bench.parts, [])

    @pytest.mark.parametrize("text", ["P9", "P1/S9", "/", "P1/S", "../state"])
    def test_an_unknown_name(self, kept, text):
        """UnknownSessionError: exit code 2."""
        with pytest.raises(UnknownSessionError):
            chosen(kept.parts, [text])

    def test_an_empty_folder_is_no_session(self, kept):
        """What an archiving that was taken back left."""
        (kept.base.parent / "EMPTY").mkdir()
        assert [("P1", "S1")] == chosen(kept.parts, [])


def check_once(archive, digests):
    """The findings of a single look."""
    return _Look(archive.parts, archive.project, archive.label, digests).run().flaws


def write_plan(parts, session, carries):
    """A plan that carries files to these paths."""
    promises.write(
        parts,
        Promise(
            session=session,
            made="",
            new=False,
            carries=tuple(Carry(path, path, "") for path in carries),
            drops=(),
            asides=(),
            retires=(),
            swaps=(),
            leftovers=(),
            sizes=(0, 0, 0),
            experiment="",
            studies=(),
            subject="",
            totals=(0, 0, 0),
        ),
    )


def double(archive, **changes):
    """Repeat the first file's entry in the catalog."""

    def repeat(entries):
        wanted = archive.files()[0].name
        (one,) = [each for each in entries if each.get("URI") == wanted]
        copy = type(one).__copy__(one)
        for name, value in changes.items():
            copy.set(name, value)
        one.addprevious(copy)

    archive.edit(repeat)
