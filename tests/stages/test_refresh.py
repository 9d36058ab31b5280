"""`stages.refresh`: documents follow the files; nothing is invented, lost or laundered."""

import gzip
import json
import os
import shutil

import pytest
from archives import CAT, XNAT, Archive, flip, instance
from lxml import etree
from makers import make_dicom

from watcher.core.errors import RefusedError, UnknownSessionError
from watcher.core.session import Session, Status
from watcher.dicom import catalog, document
from watcher.stages import history
from watcher.stages.refresh import refresh
from watcher.stages.verify import verify


@pytest.fixture
def kept(bench):
    return Archive(bench.parts, {1: 3, 2: 2})


def mend(archive, accept=""):
    return refresh(archive.parts, archive.project, archive.label, who="eve", accept=accept)


def mended(archive):
    """Refresh, which shall leave nothing wrong and a second time nothing to do; what it changed."""
    done = mend(archive)
    assert () == done.checked.flaws
    assert () == verify(archive.parts, "P1", archive.label).flaws
    before = archive.bytes()
    assert () == mend(archive).changed
    assert before == archive.bytes()
    return {change.path: change.what for change in done.changed}


def same_entries(archive, before, scan="1"):
    """Whether a catalog lists what it did, times and order aside."""
    strip = ("created",)
    after = archive.entries(scan)
    return {
        uri: {name: getattr(one, name) for name in one.__slots__ if name not in strip}
        for uri, one in after.items()
    } == {
        uri: {name: getattr(one, name) for name in one.__slots__ if name not in strip}
        for uri, one in before.items()
    }


def broken_documents(archive):
    """What of the history holds catalogs and XML that could not be used, by name."""
    found = {}
    for each in history.entries(archive.parts):
        assert ("catalog", "refresh", "eve") == (each.kind, each.command, each.who)
        folder = history.folder_of(archive.parts, each)
        for path in history.paths(archive.parts, each):
            with open(os.path.join(folder, path), "rb") as file:
                found.setdefault(path, []).append(file.read())
    return found


class TestSound:
    """Nothing to mend."""

    def test_a_sound_session_keeps_every_byte(self, kept):
        """No document, no log line, no entry of the history."""
        before, log = kept.bytes(), (kept.base / "logs" / "events.jsonl").read_bytes()
        done = mend(kept)
        assert ((), ()) == (done.changed, done.checked.flaws)
        assert before == kept.bytes()
        assert log == (kept.base / "logs" / "events.jsonl").read_bytes()
        assert [] == history.entries(kept.parts)

    def test_what_the_archive_does_not_have(self, kept):
        """UnknownSessionError; a session of which only the index knows is none to mend."""
        shutil.rmtree(kept.base)
        kept.xml.unlink()
        with pytest.raises(UnknownSessionError):
            mend(kept)

    @pytest.mark.parametrize("place", ["SCANS/1", ""])
    def test_a_link_in_a_folder_s_place(self, kept, tmp_path, place):
        """Nothing is written through it: refused, and every byte stays."""
        path = os.path.join(kept.base, place).rstrip("/")
        shutil.move(path, tmp_path / "away")
        os.symlink(tmp_path / "away", path)
        before = {each: each.read_bytes() for each in (tmp_path / "away").rglob("*.*")}
        with pytest.raises(RefusedError, match="symbolic link"):
            mend(kept)
        after = {each: each.read_bytes() for each in (tmp_path / "away").rglob("*.*")}
        assert before == after

    def test_a_merge_that_was_cut_off_goes_first(self, kept, bench):
        """RefusedError while a session is being merged into it."""
        changes = {"status": Status.ARCHIVING, "label": "s1"}
        values = {name: getattr(kept.session, name) for name in Session.__slots__}
        bench.parts.ledger.add(Session(**{**values, **changes}), [])
        with pytest.raises(RefusedError, match="being merged"):
            mend(kept)


class TestCatalogs:
    """Catalogs made again, or completed."""

    def test_a_missing_catalog(self, kept):
        """The same entries again, made from the files."""
        before = kept.entries()
        kept.catalog().unlink()
        assert {kept.relative(kept.catalog()): "made again from its files: 3 entries"} == mended(
            kept
        )
        assert same_entries(kept, before)
        assert [] == history.entries(kept.parts)

    @pytest.mark.parametrize("size", [0, 1, 400, 700, 1200])
    def test_a_torn_catalog(self, kept, size):
        """The same entries again, wherever it was cut; the torn one is in the history, once."""
        before = kept.entries()
        os.truncate(kept.catalog(), size)
        torn = kept.catalog().read_bytes()
        mended(kept)
        assert same_entries(kept, before)
        assert {kept.relative(kept.catalog()): [torn]} == broken_documents(kept)

    def test_a_torn_catalog_does_not_launder_damage(self, kept):
        """What it still tells of a digest counts: the file that does not match is damage."""
        first = kept.files()[0]
        flip(first)
        digest = kept.entries()[first.name].digest
        text = kept.catalog().read_bytes()
        kept.catalog().write_bytes(text[: text.rindex(b"</cat:entries>")])
        done = mend(kept)
        assert [("changed", kept.relative(first))] == [
            (flaw.code, flaw.path) for flaw in done.checked.flaws
        ]
        assert digest == kept.entries()[first.name].digest

    def test_a_torn_catalog_keeps_what_is_gone(self, kept):
        """A file it still lists and that is not there keeps its entry."""
        first = kept.files()[0]
        first.unlink()
        text = kept.catalog().read_bytes()
        kept.catalog().write_bytes(text[: text.rindex(b"</cat:entries>")])
        assert [("missing", kept.relative(first))] == [
            (flaw.code, flaw.path) for flaw in mend(kept).checked.flaws
        ]
        assert 3 == len(kept.entries())

    def test_a_resource_that_is_gone_altogether(self, kept):
        """Nothing can be made of nothing: reported, and left."""
        shutil.rmtree(kept.catalog("2").parent)
        before = kept.bytes()
        done = mend(kept)
        assert () == done.changed
        assert ["missing"] == [flaw.code for flaw in done.checked.flaws]
        assert before == kept.bytes()

    def test_unlisted_files_get_an_entry(self, kept):
        """Those of the scan's series, with all an entry has; the XML counts them."""
        more = kept.add(9)
        assert {
            kept.relative(kept.catalog()): "files added: 1",
            "S1.xml": "counts and sizes as the catalogs have them",
        } == mended(kept)
        _, one = instance(9)
        entry = kept.entries()[more.name]
        assert (one.header.sop_instance, one.header.sop_class, 9, one.digest, one.size) == (
            entry.uid,
            entry.class_uid,
            entry.instance_number,
            entry.digest,
            entry.size,
        )
        assert (6, sum(path.stat().st_size for path in kept.base.rglob("*.dcm"))) == (
            document.totals(kept.xml.read_bytes())
        )
        shelf = kept.parts.registry.shelf("P1", "S1")
        assert (6, kept.xml.stat().st_mtime_ns) == (shelf.files, shelf.xml_mtime_ns)

    def test_what_is_not_of_the_series_stays_unlisted(self, kept):
        """Another series' file, a second copy of a listed instance, and no DICOM are reported."""
        foreign, _ = instance(8, 2)
        copy = kept.files()[0].read_bytes()
        folder = kept.catalog().parent
        (folder / "foreign.dcm").write_bytes(foreign)
        (folder / "copy.dcm").write_bytes(copy)
        (folder / "notes.txt").write_text("x")
        done = mend(kept)
        assert () == done.changed
        assert ["extra", "unlisted", "unlisted"] == sorted(flaw.code for flaw in done.checked.flaws)

    @pytest.mark.parametrize("name", ["UID", "digest", "SIZE", "SOPClassUID"])
    def test_poor_entries_are_completed(self, kept, name):
        """A catalog of others without one of these gets it from the files."""
        before = kept.entries()

        def lessen(entries):
            for each in entries:
                each.attrib.pop(name, None)
                for one in list(each.iter(f"{CAT}metaField")):
                    if one.get("name") == name:
                        one.getparent().remove(one)

        kept.edit(lessen)
        assert {kept.relative(kept.catalog()): "entries completed: 3"} == mended(kept)
        assert same_entries(kept, before)

    def test_an_entry_without_digest_that_is_another_instance(self, kept):
        """It is not completed from a file that does not hold it."""
        first = kept.files()[0]

        def lie(entries):
            (one,) = [each for each in entries if each.get("URI") == first.name]
            one.attrib.pop("digest")
            one.set("UID", "1.2.3.4")

        kept.edit(lie)
        assert () == mend(kept).changed

    def test_a_wrong_size_is_put_right(self, kept):
        """Where the digest fits, the SIZE is the file's."""
        kept.catalog().write_text(
            kept.catalog().read_text().replace('name="SIZE">1', 'name="SIZE">2', 1)
        )
        assert {kept.relative(kept.catalog()): "entries completed: 1"} == mended(kept)

    @pytest.mark.parametrize("digests", ["same", "right first", "wrong first", "none first"])
    @pytest.mark.parametrize("uri", ["same", "other"])
    def test_a_file_listed_twice_is_listed_once(self, kept, digests, uri):
        """By the entry that matches its bytes, whichever stands first."""
        before = kept.entries()
        first = kept.files()[0]

        def repeat(entries):
            (one,) = [each for each in entries if each.get("URI") == first.name]
            copy = type(one).__copy__(one)
            if uri == "other":
                copy.set("URI", f"./{first.name}")
            if digests == "wrong first":
                copy.set("digest", "0" * 32)
            if digests == "right first":
                one.set("digest", "0" * 32)
            if digests == "none first":
                copy.attrib.pop("digest")
            one.addprevious(copy)

        kept.edit(repeat)
        assert "double entries removed: 1" in mended(kept)[kept.relative(kept.catalog())]
        after = {one.uid: one.digest for one in kept.entries().values()}
        assert {one.uid: one.digest for one in before.values()} == after

    def test_a_missing_file_listed_twice(self, kept):
        """Once if the entries agree; both where they contradict, for nobody can tell."""
        gone = kept.files()[0]
        gone.unlink()

        def repeat(entries):
            (one,) = [each for each in entries if each.get("URI") == gone.name]
            for digest in (one.get("digest"), "0" * 32):
                copy = type(one).__copy__(one)
                copy.set("digest", digest)
                copy.set("URI", f"./{gone.name}" if digest[0] != "0" else f"././{gone.name}")
                one.addprevious(copy)

        kept.edit(repeat)
        done = mend(kept)
        assert "double entries removed: 1" == done.changed[0].what
        assert {"missing", "twice-listed"} == {flaw.code for flaw in done.checked.flaws}

    def test_other_spellings_stay(self, kept):
        """Encoded, absolute and nested URIs whose file is found are left as they are."""
        first, second, third = kept.files()
        first.rename(first.with_name("a b.dcm"))
        spelled = ["a%20b.dcm", f"/old/SCANS/1/DICOM/{second.name}", f"./{third.name}"]

        def spell(entries):
            by_uri = {each.get("URI"): each for each in entries}
            for old, new in zip((first, second, third), spelled, strict=True):
                by_uri[old.name].set("URI", new)

        kept.edit(spell)
        assert () == mend(kept).changed
        kept.add(9)
        mended(kept)
        assert {*spelled} < {*kept.entries()}

    def test_a_file_that_was_renamed_is_found(self, kept):
        """The entry of a file that is gone goes to the unlisted one with its digest and UID."""
        first = kept.files()[0]
        first.rename(first.with_name("renamed.dcm"))
        assert {kept.relative(kept.catalog()): "files found under another name: 1"} == mended(kept)
        assert (3, True) == (len(kept.entries()), "renamed.dcm" in kept.entries())

    def test_a_gzipped_catalog_stays_gzipped(self, kept):
        """Under its own name; the session XML names it without the ending."""
        path = kept.catalog()
        zipped = path.with_name(f"{path.name}.gz")
        zipped.write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
        kept.add(9)
        mended(kept)
        assert 4 == len(catalog.read(gzip.decompress(zipped.read_bytes()))[1])
        assert not path.exists()

    def test_instances_without_pixels(self, kept, bench):
        """A catalog made again has no dimensions where the files have none."""
        for number, path in enumerate(kept.files("2")):
            path.unlink()
            make_dicom(
                path,
                series="1.2.3.002",
                sop=f"1.2.3.9.{number}",
                rows=0,
                columns=0,
                sop_class="1.2.840.10008.5.1.4.1.1.88.22",
                PixelData=None,
                modality="SR",
            )
        kept.catalog("2").unlink()
        mended(kept)
        assert b"dimensions" not in kept.catalog("2").read_bytes()

    def test_a_catalog_elsewhere(self, kept):
        """One that lies where we put none is checked and mended; no scan is made of it."""
        data, _ = instance(7)
        (kept.base / "SCANS" / "5").mkdir()
        (kept.base / "SCANS" / "5" / "x.dcm").write_bytes(data)
        (kept.base / "SCANS" / "5" / "x_catalog.xml").write_text(
            '<cat:DCMCatalog xmlns:cat="http://nrg.wustl.edu/catalog"><cat:entries>'
            '<cat:entry URI="x.dcm"/></cat:entries></cat:DCMCatalog>'
        )
        done = mend(kept)
        assert ["entries completed: 1"] == [change.what for change in done.changed]
        assert [("unlisted", "SCANS/5/x_catalog.xml")] == [
            (flaw.code, flaw.path) for flaw in done.checked.flaws
        ]


class TestDamage:
    """Bytes that changed and files that are gone."""

    def test_a_changed_file_keeps_its_digest(self, kept):
        """Reported, said, and its catalog keeps every byte; sound again once restored."""
        flip(kept.files()[0])
        before = kept.bytes()
        done = mend(kept)
        assert ((), "damaged") == (done.changed, done.checked.verdict)
        assert before == kept.bytes()
        flip(kept.files()[0])
        assert "ok" == mend(kept).checked.verdict

    def test_a_missing_file_keeps_its_entry(self, kept):
        """Reported; other mending goes on."""
        gone = kept.files()[0]
        gone.unlink()
        kept.add(9)
        done = mend(kept)
        assert [("missing", kept.relative(gone))] == [
            (flaw.code, flaw.path) for flaw in done.checked.flaws
        ]
        assert 4 == len(kept.entries())

    def test_a_changed_file_is_not_completed(self, kept):
        """What does not match its digest tells nothing."""
        first = kept.files()[0]
        kept.edit(lambda entries: [each.attrib.pop("UID") for each in entries])
        flip(first)
        mend(kept)
        assert ["", True, True] == sorted(
            (one.uid and True for one in kept.entries().values()), key=str
        )

    def test_a_person_may_accept_it(self, kept, bench):
        """New digest, no entry for what is gone; who and why in log, history and events."""
        changed, gone, _ = kept.files()
        flip(changed)
        gone.unlink()
        done = mend(kept, accept="phantom, not needed")
        assert () == done.checked.flaws
        entries = kept.entries()
        assert {changed.name, kept.files()[1].name} == {*entries}
        assert (4, "ok") == (done.checked.files, done.checked.verdict)
        assert {kept.relative(changed), kept.relative(gone)} < {one.path for one in done.changed}
        (said,) = bench.events("session.decided")
        assert ("refresh", "eve", "phantom, not needed") == tuple(
            said[name] for name in ("command", "user", "reason")
        )
        with open(bench.parts.storage.decisions) as file:
            assert ["refresh"] == [json.loads(line)["command"] for line in file]
        line = json.loads((kept.base / "logs" / "events.jsonl").read_text().splitlines()[-1])
        assert ("session.refreshed", "eve", "phantom, not needed") == tuple(
            line[name] for name in ("event", "who", "reason")
        )
        assert () == mend(kept).changed

    def test_accepting_takes_only_what_is_wrong(self, kept, bench):
        """On a sound session there is nothing to decide."""
        before = kept.bytes()
        assert () == mend(kept, accept="just so").changed
        assert before == kept.bytes()
        assert [] == bench.events("session.decided")


class TestSessionXml:
    """The session XML follows."""

    def test_counts_follow_and_notes_stay(self, kept):
        """Wrong counts are put right; what a person wrote in the XML is kept."""
        text = kept.xml.read_text().replace('file_count="3"', 'file_count="2"')
        kept.xml.write_text(text.replace(">usable<", ">questionable<", 1))
        assert {"S1.xml": "counts and sizes as the catalogs have them"} == mended(kept)
        assert ">questionable<" in kept.xml.read_text()

    @pytest.mark.parametrize("lost", [False, True])
    def test_files_that_only_the_xml_counts(self, kept, lost):
        """Their catalog may be gone with them: they are counted until a person accepts it."""
        if lost:
            kept.files()[0].unlink()
            kept.catalog().unlink()
        else:
            text = kept.xml.read_text()
            kept.xml.write_text(text.replace('file_count="3"', 'file_count="4"'))
        assert {"count"} == {flaw.code for flaw in mend(kept).checked.flaws}
        assert () == mend(kept, accept="lost with the disk").checked.flaws

    def test_a_scan_the_xml_does_not_name(self, kept, bench):
        """It is added from its headers, with its catalog or without one."""
        for scan in (3, 4):
            other = Archive(bench.parts, {scan: 2}, label=f"S{scan}")
            shutil.copytree(other.base / "SCANS" / f"{scan}", kept.base / "SCANS" / f"{scan}")
        kept.catalog("4").unlink()
        changed = mended(kept)
        assert "scans added: 3, 4" == changed["S1.xml"]
        assert ["1", "2", "3", "4"] == [
            scan.id for scan in document.read(kept.xml.read_bytes()).scans
        ]
        assert 2 == len(kept.entries("4"))

    def test_a_resource_the_xml_does_not_name(self, kept):
        """A second resource of a scan joins it."""
        folder = kept.base / "SCANS" / "1" / "secondary"
        folder.mkdir()
        data, _ = instance(9)
        (folder / "more.dcm").write_bytes(data)
        assert "scans added: 1" == mended(kept)["S1.xml"]
        (first, _) = document.read(kept.xml.read_bytes()).scans
        assert ["DICOM", "secondary"] == [each.label for each in first.resources]

    def test_a_series_known_under_another_id_is_not_added_twice(self, kept):
        """A copy of a scan's folder under another ID is reported, not made a scan."""
        shutil.copytree(kept.base / "SCANS" / "1", kept.base / "SCANS" / "5")
        done = mend(kept)
        assert "S1.xml" not in {one.path for one in done.changed}
        assert "unlisted" in {flaw.code for flaw in done.checked.flaws}

    @pytest.mark.parametrize("how", ["torn", "missing", "empty", "other"])
    def test_it_is_composed_again(self, kept, how):
        """Scans from the files, the subject from the log, the experiment as it was; then valid."""
        before = kept.xml.read_bytes()
        texts = {"torn": before[:300], "empty": b"", "other": b"<a/>"}
        if how == "missing":
            kept.xml.unlink()
        else:
            kept.xml.write_bytes(texts[how])
        kept.parts.registry.unshelve("P1", "S1")
        assert {"S1.xml"} == {*mended(kept)}
        assert before == kept.xml.read_bytes()
        wanted = {} if how == "missing" else {"S1.xml": [texts[how]]}
        assert wanted == broken_documents(kept)

    def test_without_a_log_the_index_knows_the_subject(self, kept):
        """The index, else the patient's name, else `unknown`."""
        os.remove(kept.base / "logs" / "events.jsonl")
        for subject in ("ANNA", "DOE_JOHN"):
            kept.xml.unlink()
            mended(kept)
            assert subject == etree.parse(str(kept.xml)).findtext(f"{XNAT}subject_ID")
            kept.parts.registry.unshelve("P1", "S1")
            os.remove(kept.base / "logs" / "events.jsonl")

    def test_xml_and_catalogs_gone_together(self, kept):
        """Everything that names the files is gone: made again from them alone."""
        before = kept.xml.read_bytes()
        entries = kept.entries()
        kept.xml.unlink()
        kept.catalog("1").unlink()
        os.truncate(kept.catalog("2"), 10)
        mended(kept)
        assert before == kept.xml.read_bytes()
        assert same_entries(kept, entries)

    def test_a_log_with_torn_lines(self, kept):
        """Lines that a crash tore, or that are none of ours, are passed over."""
        log = kept.base / "logs" / "events.jsonl"
        log.write_text('{"subj\n[1]\n' + log.read_text())
        kept.parts.registry.unshelve("P1", "S1")
        kept.xml.unlink()
        mended(kept)
        assert "ANNA" in kept.xml.read_text()

    def test_no_file_no_xml(self, kept):
        """A folder without any instance makes no session."""
        shutil.rmtree(kept.base / "SCANS")
        kept.xml.unlink()
        done = mend(kept)
        assert ((), ["missing"]) == (done.changed, [flaw.code for flaw in done.checked.flaws])


class TestCutOff:
    """Killed anywhere, the next try ends as one that was not."""

    def test_what_was_kept_is_kept_once(self, kept):
        """Cut off between the history and the swap, a torn catalog is not kept twice."""
        torn = kept.catalog().read_bytes()[:500]
        for _ in range(2):  # as if the first had never swapped
            kept.catalog().write_bytes(torn)
            mended(kept)
        assert {kept.relative(kept.catalog()): [torn]} == broken_documents(kept)

    def test_an_entry_without_its_reason_gets_it(self, kept):
        """Cut off between the document and the reason beside it."""
        torn = kept.catalog().read_bytes()[:500]
        for _ in range(2):
            kept.catalog().write_bytes(torn)
            mended(kept)
            (entry,) = history.entries(kept.parts)
            reason = os.path.join(history.folder_of(kept.parts, entry), history.REASON)
            assert "catalog" == entry.kind
            os.remove(reason)

    def test_between_the_catalogs_and_the_xml(self, kept):
        """Catalogs swapped, the XML not: the next try swaps it."""
        before = kept.xml.read_bytes()
        kept.add(9)
        mend(kept)
        after = kept.bytes()
        kept.xml.write_bytes(before)
        mended(kept)
        assert after == kept.bytes()
