"""The main job on real files, as a user meets it: dropped, filed, archived, explained."""

import os
import shutil
from pathlib import Path

import pytest
from lxml import etree
from makers import dicomdir_patients, make_dicom, pydicom_samples
from pydicom import dcmread
from world import CAT, XNAT, World, md5

from watcher.core import names
from watcher.core.file import Header
from watcher.core.tags import TAGS
from watcher.io.comparing import compared


def drop_flat(world, paths):
    """Copy files into one flat folder under meaningless names; gives their digests."""
    digests = []
    for number, path in enumerate(paths):
        shutil.copyfile(path, world.drop / f"f{number:04}")
        digests.append(md5(path))
    return digests


def expected_name(path):
    """The name XNAT would give a file, from its header as pydicom reads it."""
    found = dcmread(path, stop_before_pixels=True, force=True)
    words = ("StudyInstanceUID", "SeriesNumber", "InstanceNumber", "SOPClassUID", "SOPInstanceUID")
    return names.file_name(
        Header({TAGS[w]: str(found.get(w)) for w in words if found.get(w) not in {None, ""}})
    )


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


class TestRealStudies:
    """pydicom's `dicomdirtests`: two patients, seven studies, real scanners."""

    LABELS = 'session = ["{PatientID}_{StudyInstanceUID}"]'

    def test_each_instance_lands_once_under_its_xnat_name(self, tmp_path):
        """Every instance dropped under a meaningless name is archived once, named as by XNAT."""
        world = World(tmp_path, extra=f"[identify]\n{self.LABELS}")
        sources = [Path(path) for path in dicomdir_patients()]
        wanted = {expected_name(path): md5(path) for path in sources}
        drop_flat(world, sources)

        code, _events = world.once()

        got = {os.path.basename(path): digest for (_, path), digest in world.archived().items()}
        assert wanted == got
        assert len(sources) >= 31
        assert code == 0
        assert world.left() == []
        assert world.prearchive() == []
        assert world.uncatalogued() == []

    def test_documents_validate(self, tmp_path, xnat_schema):
        """Session XML and catalogs of real studies validate against XNAT's schemas."""
        world = World(tmp_path, extra=f"[identify]\n{self.LABELS}")
        drop_flat(world, dicomdir_patients())
        world.once()
        sessions = etree.XMLSchema(etree.parse(f"{xnat_schema}/xnat.xsd"))
        catalogs = etree.XMLSchema(etree.parse(f"{xnat_schema}/catalog.xsd"))
        documents = sorted((world.root / "archive").rglob("*.xml"))
        assert len(documents) > 10
        for path in documents:
            schema = catalogs if path.name.endswith("_catalog.xml") else sessions
            schema.assertValid(etree.parse(str(path)))

    def test_other_samples_are_archived_or_explained(self, tmp_path):
        """Of all sample files each is archived, set aside with its reason, or waits with one.

        Only a file that another holds already, element by element, is dropped.
        """
        world = World(tmp_path, extra=f"[identify]\n{self.LABELS}")
        sources = [path for path in pydicom_samples() if os.path.getsize(path)]
        digests = set(drop_flat(world, sources))

        code, events = world.once()

        archived = set(world.archived().values())
        aside = {md5(p) for p in (world.root / "quarantine").rglob("f*") if p.is_file()}
        staged = {md5(p) for p in (world.root / "prearchive").rglob("*.dcm")}
        waiting = {md5(world.drop / name) for name in world.left()}
        gone = digests - (archived | aside | staged | waiting)
        for path in (path for path in sources if md5(path) in gone):
            filed = (world.root / "archive").rglob("*.dcm")
            assert any(compared(path, str(other)).same for other in filed)  # in other bytes
        assert archived
        statuses = {each["status"] for each in world.json("sessions")[0]}
        assert statuses <= {"CONFLICT"}
        explained = {e["path"] for e in events if e["event"] in {"file.waiting"}}
        assert {n for n in world.left() if "DICOMDIR" not in n} >= explained
        assert code in {0, 3}


class TestIdentity:
    """Where files end up, and what a person sees of it."""

    def test_unknown_project_is_unassigned_and_waits(self, tmp_path):
        """Without a known project a session ends in CONFLICT with no-project; move settles it."""
        world = World(tmp_path, project=None, extra="[projects.OTHER]\n[projects.P1]")
        make_dicom(world.drop / "a")
        assert world.once()[0] == 3
        session = world.sessions["P1"]
        assert ("CONFLICT", None, ["no-project"]) == (
            session["status"],
            session["project"],
            session["findings"],
        )
        assert (world.root / "prearchive" / session["id"] / "P1.xml").is_file()
        assert world.watcher("move", session["id"], "--project", "other")[0] == 0
        assert [("P1", "OTHER")] == [
            (label, Path(p).parts[0] and "OTHER") for (label, p) in world.archived()
        ]
        assert (world.root / "archive" / "OTHER" / "arc001" / "P1.xml").is_file()

    def test_names_that_are_not_utf8(self, world):
        """A dropped name that is not UTF-8 is filed like any other."""
        make_dicom(world.drop / "a")
        folder = os.fsencode(world.drop) + b"/\xff\xfe\n"
        os.mkdir(folder)
        os.rename(world.drop / "a", folder + b"/bad\xff.dcm")
        assert world.once()[0] == 0
        assert len(world.archived()) == 1
        assert world.left() == []

    def test_a_file_with_two_links_is_copied(self, world):
        """A source with several links is never shared: nobody outside can change what is filed."""
        make_dicom(world.base / "outside")
        os.link(world.base / "outside", world.drop / "a")
        assert world.once()[0] == 0
        ((label, path),) = world.archived()
        filed = world.root / "archive" / "P1" / "arc001" / label / path
        assert filed.stat().st_ino != (world.base / "outside").stat().st_ino
        assert md5(filed) == md5(world.base / "outside")

    def test_links_devices_and_fifos_stay(self, world):
        """What is no regular file is never read, moved or waited for."""
        make_dicom(world.base / "outside")
        os.symlink(world.base / "outside", world.drop / "link")
        os.mkfifo(world.drop / "fifo")
        make_dicom(world.drop / "a", patient_id="REAL")
        assert world.once()[0] == 0
        assert {"REAL"} == {label for label, _ in world.archived()}
        assert {"link", "fifo", "RECEIPTS"} == set(os.listdir(world.drop))


class TestConflict:
    """Two studies under one label: XNAT's UID conflict, and both ways out of it."""

    @pytest.fixture
    def conflict(self, world):
        """The first study archived, the second dropped after it."""
        make_dicom(world.drop / "a", study="1.2.3", series="1.2.3.1", sop="1.2.3.1.1")
        assert world.once()[0] == 0
        make_dicom(world.drop / "b", study="1.2.4", series="1.2.4.1", sop="1.2.4.1.1")
        world.code, world.events = world.once()
        return world

    def test_the_second_is_refused_with_xnats_words(self, conflict):
        """The session stays as CONFLICT; the log says XNAT's sentences once, at level error."""
        assert conflict.code == 3
        (event,) = [e for e in conflict.events if e["event"] == "session.conflict"]
        assert ("error", "Session upload failed") == (event["level"], event["message"])
        texts = [f["text"] for f in event["findings"] if f["severity"] == "CONFLICT"]
        assert ["Invalid modification of session UID via archive process."] == texts
        again = conflict.once()[1]
        assert [] == [e for e in again if e["event"] == "session.conflict"]

    def test_validate_explains_both_sides(self, conflict):
        """`validate` shows incoming and archived UIDs, XNAT's code and the commands."""
        session = conflict.sessions["P1"]
        document, code = conflict.json("validate", session["id"])
        finding = document["findings"][0]
        assert (3, "conflict", "study-uid-mismatch", [5]) == (
            code,
            document["verdict"],
            finding["code"],
            finding["xnat"],
        )
        assert ("1.2.4", "1.2.3") == (finding["incoming"]["study"], finding["archived"]["study"])
        assert any("--force" in command for command in finding["resolve"])
        assert any("relabel" in command for command in finding["resolve"])

    def test_validate_writes_nothing(self, conflict):
        """`validate` is a pure dry run: no file of the stores changes."""
        before = {
            p: p.stat().st_mtime_ns for p in conflict.root.rglob("*") if "state" not in p.parts
        }
        conflict.json("validate", conflict.sessions["P1"]["id"])
        after = {
            p: p.stat().st_mtime_ns for p in conflict.root.rglob("*") if "state" not in p.parts
        }
        assert before == after

    def test_force_wants_a_reason_and_merges(self, conflict):
        """`--force --reason` merges both studies; the decision and the accepted UID are kept."""
        session = conflict.sessions["P1"]["id"]
        assert conflict.watcher("archive", session, "--force")[0] == 2
        assert conflict.watcher("archive", session, "--force", "--reason", "one visit")[0] == 0
        assert {("P1", "1"), ("P1", "1-CT1")} == {
            (label, Path(path).parts[1]) for label, path in conflict.archived()
        }
        document = etree.parse(str(conflict.root / "archive/P1/arc001/P1.xml")).getroot()
        fields = {f.get("name"): f.text for f in document.iter(f"{XNAT}field")}
        assert ("1.2.3", "1.2.4") == (document.get("UID"), fields["accepted_study_uids"])
        decisions = (conflict.root / "history" / "decisions.jsonl").read_text()
        assert "one visit" in decisions
        assert conflict.prearchive() == []

    def test_force_names_what_it_overrides_first(self, conflict):
        """Before anything is merged the findings that give way stand on standard error."""
        make_dicom(
            conflict.drop / "c", study="1.2.4", series="1.2.4.1", sop="1.2.4.1.2", instance=2
        )
        session = conflict.sessions["P1"]["id"]
        assert conflict.watcher("archive", session, "--force", "--reason", "one visit")[0] == 0
        assert "overrides study-uid-mismatch" in conflict.errors
        assert "may affect data integrity" in conflict.errors

    def test_late_files_of_a_forced_study_merge_by_themselves(self, conflict):
        """A forced merge binds the study: what comes later of it is no conflict again."""
        conflict.watcher(
            "archive", conflict.sessions["P1"]["id"], "--force", "--reason", "one visit"
        )
        make_dicom(
            conflict.drop / "c", study="1.2.4", series="1.2.4.1", sop="1.2.4.1.2", instance=2
        )
        assert conflict.once()[0] == 0
        assert len(conflict.archived()) == 3

    def test_relabel_keeps_them_apart_and_sticks(self, conflict):
        """`relabel` then archives under the new label; later files of the study follow."""
        session = conflict.sessions["P1"]["id"]
        assert conflict.watcher("relabel", session, "--session", "P1_second")[0] == 0
        assert {"P1", "P1_second"} == {label for label, _ in conflict.archived()}
        make_dicom(
            conflict.drop / "c", study="1.2.4", series="1.2.4.1", sop="1.2.4.1.2", instance=2
        )
        code, events = conflict.once()
        assert code == 0
        (filed,) = [e for e in events if e["event"] == "file.filed"]
        assert filed["by"] == "decision"
        assert 2 == len([1 for label, _ in conflict.archived() if label == "P1_second"])

    def test_delete_keeps_the_files_in_history(self, conflict):
        """`delete` moves the session to the history, with its reason; nothing is lost."""
        digest = md5(next((conflict.root / "prearchive").rglob("*.dcm")))
        session = conflict.sessions["P1"]["id"]
        assert conflict.watcher("delete", session, "--reason", "a phantom")[0] == 0
        assert [digest] == [md5(p) for p in (conflict.root / "history").rglob("*.dcm")]
        assert conflict.prearchive() == []
        assert conflict.once()[0] == 0


class TestMerge:
    """Files that come after their session was archived."""

    def test_late_files_join_their_scan(self, world):
        """A late file of an archived series joins its scan; the catalog lists both."""
        make_dicom(world.drop / "a")
        world.once()
        make_dicom(world.drop / "b", sop="1.2.3.1.2", instance=2)
        code, events = world.once()
        (merged,) = [e for e in events if e["event"] == "session.merged"]
        assert (0, 1, 0) == (code, merged["added"], merged["same"])
        assert {"1"} == {Path(path).parts[1] for _, path in world.archived()}
        assert len(world.archived()) == 2
        document = etree.parse(str(world.root / "archive/P1/arc001/P1.xml"))
        assert ["2"] == [f.get("file_count") for f in document.iter(f"{XNAT}file")]

    def test_identical_resend_changes_nothing_and_says_so(self, world):
        """The same file again: archive untouched, one line that says `same`."""
        source = make_dicom(world.base / "a")
        shutil.copyfile(source, world.drop / "first")
        world.once()
        tree = {
            p: (p.stat().st_mtime_ns, p.read_bytes())
            for p in (world.root / "archive").rglob("*")
            if p.is_file() and p.name != "events.jsonl"
        }
        shutil.copyfile(source, world.drop / "again")
        code, events = world.once()
        (merged,) = [e for e in events if e["event"] == "session.merged"]
        assert (0, 0, 1) == (code, merged["added"], merged["same"])
        assert tree == {
            p: (p.stat().st_mtime_ns, p.read_bytes())
            for p in (world.root / "archive").rglob("*")
            if p.is_file() and p.name != "events.jsonl"
        }
        assert world.left() == []

    def test_duplicates_in_one_drop_are_filed_once(self, world):
        """Two equal files dropped together are one instance."""
        source = make_dicom(world.base / "a")
        for name in ("x", "y", "z"):
            shutil.copyfile(source, world.drop / name)
        assert world.once()[0] == 0
        assert len(world.archived()) == 1
        assert world.left() == []

    def test_same_instance_with_other_content_holds_the_session(self, world):
        """One SOP UID, two data sets: nothing is overwritten, CONFLICT says which file."""
        make_dicom(world.drop / "a", description="one")
        world.once()
        before = world.archived()
        make_dicom(world.drop / "b", description="two")
        assert world.once()[0] == 3
        assert before == world.archived()
        assert "instance-differs" in world.sessions["P1"]["findings"]

    def test_two_series_with_one_number(self, world):
        """Series that share a number get N-MODi in UID order, each with its own catalog."""
        make_dicom(world.drop / "a", series="1.2.3.2", sop="1.2.3.2.1")
        make_dicom(world.drop / "b", series="1.2.3.1", sop="1.2.3.1.1")
        assert world.once()[0] == 0
        scans = {}
        for catalog in (world.root / "archive").rglob("*_catalog.xml"):
            scans[catalog.parts[-3]] = etree.parse(str(catalog)).getroot().get("UID")
        assert {"1-CT1": "1.2.3.1", "1-CT2": "1.2.3.2"} == scans


class TestManual:
    """auto_archive = false: READY until a person archives."""

    def test_ready_waits_for_a_person(self, tmp_path):
        """A manual project's session ends READY, and `archive` archives it."""
        world = World(tmp_path, extra="[projects.P1]\nauto_archive = false")
        make_dicom(world.drop / "a")
        assert world.once()[0] == 0
        session = world.sessions["P1"]
        assert "READY" == session["status"]
        assert world.archived() == {}
        assert world.watcher("archive", session["id"])[0] == 0
        assert len(world.archived()) == 1

    def test_aa_in_the_comments_overrules(self, tmp_path):
        """`AA:true` in PatientComments archives although the project does not."""
        world = World(tmp_path, extra="[projects.P1]\nauto_archive = false")
        make_dicom(world.drop / "a", PatientComments="AA:true")
        world.once()
        assert len(world.archived()) == 1


class TestIncomplete:
    """Files that are not whole never go anywhere."""

    def test_a_torn_file_waits_and_is_filed_when_whole(self, world):
        """A truncated file stays where it lies; completed, it is archived."""
        whole = Path(make_dicom(world.base / "a")).read_bytes()
        (world.drop / "a").write_bytes(whole[:-10])
        code, events = world.once()
        assert 3 == code
        said = [e for e in events if e["event"] == "file.waiting" and e["level"] == "info"]
        assert ["torn"] == [e["code"] for e in said]
        assert 1 == events[-1]["waiting"]
        assert ["a"] == world.left()
        (world.drop / "a").write_bytes(whole)
        assert world.once()[0] == 0
        assert len(world.archived()) == 1

    def test_a_torn_neighbour_holds_nothing_in_a_drain(self, world):
        """`--once` leaves a torn file and archives what came beside it; exit 3 for the rest."""
        make_dicom(world.drop / "whole")
        torn = Path(make_dicom(world.drop / "torn", sop="1.2.3.1.2", instance=2))
        torn.write_bytes(torn.read_bytes()[:-10])
        code, _ = world.once()
        assert 3 == code
        assert len(world.archived()) == 1
        assert ["torn"] == world.left()

    def test_a_file_without_uids_goes_to_quarantine(self, world):
        """A DICOM file without SeriesInstanceUID is quarantined whole, with its reason."""
        source = make_dicom(world.drop / "a", series=None)
        digest = md5(source)
        code, events = world.once()
        assert 3 == code
        assert ["missing-uid"] == [e["code"] for e in events if e["event"] == "file.quarantined"]
        assert [digest] == [md5(p) for p in (world.root / "quarantine").rglob("a")]
        assert world.left() == []

    def test_notes_are_set_aside_as_one_entry(self, world):
        """Files that are no DICOM are set aside per dropped folder, with one info line."""
        (world.drop / "visit").mkdir()
        make_dicom(world.drop / "visit" / "a")
        for name in ("notes.txt", "more.pdf"):
            (world.drop / "visit" / name).write_text("not DICOM")
        code, events = world.once()
        assert 3 == code
        said = [e for e in events if e["event"] == "file.quarantined"]
        assert [("info", "not-dicom")] == [(e["level"], e["code"]) for e in said]
        assert 2 == len(list((world.root / "quarantine").rglob("visit/*")))
        assert len(world.archived()) == 1
        assert not (world.drop / "visit").exists()


class TestKeep:
    """after = "keep": nothing in the drop is touched, each file is taken once."""

    def test_kept_files_are_taken_once_and_again_when_changed(self, tmp_path):
        """A second run takes nothing; a changed file is taken again."""
        world = World(tmp_path, drop_lines=['after = "keep"'])
        make_dicom(world.drop / "a")
        world.once()
        assert ["a"] == world.left()
        _, events = world.once()
        assert [] == [e for e in events if e["event"].startswith("file.")]
        make_dicom(world.drop / "a", sop="1.2.3.1.2", instance=2)
        world.once()
        assert len(world.archived()) == 2


class TestLostLedger:
    """state/ is an index: it is rebuilt from the tree."""

    def test_rebuilt_from_the_tree(self, world):
        """With the ledger gone, sessions, statuses and the archive's index are as before."""
        make_dicom(world.drop / "a", study="1.2.3")
        world.once()
        make_dicom(world.drop / "b", study="1.2.4", series="1.2.4.1", sop="1.2.4.1.1")
        world.once()
        before = (world.sessions, world.json("sessions", "--status", "ARCHIVED")[0])
        for path in (world.root / "state").glob("ledger.sqlite*"):
            path.unlink()
        code, events = world.once()
        assert 3 == code
        assert [e for e in events if e["event"] == "daemon.recovered"]
        after = (world.sessions, world.json("sessions", "--status", "ARCHIVED")[0])
        assert before[0] == after[0]
        assert [e["label"] for e in before[1]] == [e["label"] for e in after[1]]
        assert (
            world.watcher("archive", after[0]["P1"]["id"], "--force", "--reason", "after a loss")[0]
            == 0
        )
        assert len(world.archived()) == 2


def test_catalog_entries_carry_what_the_contract_names(world):
    """Entries have URI, ID, UID, instanceNumber, digest, createdTime, SIZE and SOPClassUID."""
    source = make_dicom(world.drop / "a")
    size = os.path.getsize(source)
    found = dcmread(source)
    world.once()
    (catalog,) = (world.root / "archive").rglob("*_catalog.xml")
    (entry,) = etree.parse(str(catalog)).iter(f"{CAT}entry")
    meta = {m.get("name"): m.text for m in entry.iter(f"{CAT}metaField")}
    assert {"SIZE": str(size), "SOPClassUID": str(found.SOPClassUID)} == meta
    assert (str(found.SOPInstanceUID), "1") == (entry.get("UID"), entry.get("instanceNumber"))
    assert entry.get("URI") == entry.get("ID")
    assert entry.get("createdTime")
