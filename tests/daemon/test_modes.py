"""The four cells of XNAT's table, on the real program: each sentence of its guide, and what it is.

The sentences are those of "Merging Duplicate or Updated Image Session Uploads", word for word
(`test_every_sentence_of_the_guide_is_quoted` compares). What is dropped lies in a folder of its
own, so that a transactional drop takes it as a unit and a gradual one file by file. The project is
not archived by itself (`auto_archive = false`): where a session goes, the drop's `dest` decides.
"""

import json
import re
from pathlib import Path

import pytest
from lxml import etree
from makers import MR, dicomdir_patients, make_dicom
from quick import memory
from world import CAT, XNAT, World, md5, until

pytestmark = pytest.mark.timeout(900)  # whoever comes first fills the installation

GUIDE = Path(__file__).parents[3] / "shared/reference/merging-guide.txt"
HEADINGS = {  # of its page; the rest of it is quoted
    "Skip to main content",
    "Skip table of contents",
    "Merging Duplicate or Updated Image Session Uploads",
    "Gradual Import (uploads files/scans one at a time without rebuilding session on each request)",
    "CODE",
    "JavaScript errors detected",
    "Please note, these errors can depend on your browser setup.",
    "If this problem persists, please contact our support.",
}

DROP = """
[[drop]]
path = "{path}"
name = "{name}"
settle = "100ms"
inactivity = "1s"
import = "{mode}"
dest = "{dest}"
"""
PROJECTS = """
[projects.{name}]
auto_archive = false
[projects.{name}O]
auto_archive = false
overwrite = true
"""
CELLS = {
    "GP": ("gradual", "prearchive"),
    "TP": ("transactional", "prearchive"),
    "GA": ("gradual", "archive"),
    "TA": ("transactional", "archive"),
}
MODES = ("gradual", "transactional")
LABELS = ("SCAN", "FILE", "SAME", "DIFF", "CLASS", "STUDY")


class Cell:
    """One cell of the table: a drop of a world, with two projects of its own, NAME and NAMEO."""

    def __init__(self, world, name, drop):
        self.world, self.name, self.drop = world, name, drop
        self.number = [*CELLS].index(name) + 1

    def uids(self, label, study=1):
        """A study for each label, so that no scene meets another."""
        root = f"1.2.{self.number}.{sum(map(ord, label)) + len(label) * 1000}.{study}"
        return {"study": root, "series": f"{root}.1", "sop": f"{root}.1.1", "patient_id": label}

    def image(self, label, *, drop=None, study=1, **more):
        """One file of a label, in a folder of its own in the drop."""
        project = self.name + "O" * (label == "OVER")
        values = self.uids(label, study) | {"description": project} | more
        return make_dicom((drop or self.drop) / label / f"{values['sop']}.dcm", **values)

    def add(self, label):
        """What comes later of each label: the one thing it is called after."""
        root = self.uids(label)["study"]
        second = {"sop": f"{root}.1.2", "instance": 2}
        other = {
            "NEW": {},
            "SCAN": {"series": f"{root}.2", "sop": f"{root}.2.1", "number": 2},
            "FILE": second,
            "MERGE": second,
            "SAME": {},
            "DIFF": {"StudyComments": "another data set"},
            "OVER": {"StudyComments": "another data set"},
            "CLASS": {"sop_class": MR, "modality": "MR"},
            "STUDY": {"study": 2},
            "CLASH": {"study": 2},
        }[label]
        return self.image(label, **other)

    def found(self, label, study=1):
        """The prearchive sessions of a label and study."""
        wanted = (label, self.uids(label, study)["study"])
        listed, _ = self.world.json("sessions")
        return [each for each in listed if (each["label"], each["study_uid"]) == wanted]

    def one(self, label, study=1):
        """The one session of a label and study."""
        (session,) = self.found(label, study)
        return session

    def aside(self):
        """What of this drop is in quarantine."""
        entries, _ = self.world.json("quarantine", "list")
        return [each for each in entries if each["drop"] == self.drop.name]

    def left(self):
        """What lies in this drop still, but for the receipts."""
        files = (path for path in self.drop.rglob("*") if path.is_file())
        return sorted(path.name for path in files if path.parent.name != "RECEIPTS")

    def staged(self, session):
        """What the catalogs of a prearchive session list, by scan and file; all of it checked."""
        base = self.world.root / "prearchive" / session["project"] / session["id"]
        return listed(base / session["label"]), base / f"{session['label']}.xml"

    def _shelf(self, label):
        project = self.name + "O" * (label == "OVER")
        return self.world.root / "archive" / project / "arc001" / label

    def shelf(self, label):
        """The same of an archived session."""
        base = self._shelf(label)
        return listed(base), base.with_suffix(".xml")

    def shelved_bytes(self, label):
        """An archived session's files, catalogs and XML, but for its log."""
        base = self._shelf(label)
        paths = [p for p in base.rglob("*") if p.is_file() and p.parent.name != "logs"]
        return {str(p): md5(p) for p in [*paths, base.with_suffix(".xml")]}

    def history(self):
        """The digests of what was replaced."""
        return {md5(path) for path in (self.world.root / "history").rglob("*.dcm")}


def four(base, *, extra="", fixed=False):
    """A world with the four cells, and a drop beside them that archives.

    fixed: each drop's project is the cell's; else the files name it.
    """
    tables = [extra]
    for name, (mode, dest) in CELLS.items():
        (base / name).mkdir()
        tables.append(DROP.format(path=base / name, name=name, mode=mode, dest=dest))
        tables += [f'project = "{name}"'] * fixed
    projects = [PROJECTS.format(name=name) for name in CELLS]
    extra = "".join([*tables, *projects])
    world = World(base, project=None, drop_lines=['dest = "archive"'], extra=extra)
    return {name: Cell(world, name, base / name) for name in CELLS}


def alone(base, name, **more):
    """A world whose one drop is a cell; its project waits for a person."""
    mode, dest = CELLS[name]
    projects = PROJECTS.format(name=name)
    lines = [f'import = "{mode}"', f'dest = "{dest}"']
    world = World(base, project=None, drop_lines=lines, extra=projects, **more)
    return Cell(world, name, world.drop)


def listed(base):
    """Scan and digest of every file the catalogs below list; each is there, and no other."""
    found = []
    for catalog in base.rglob("*_catalog.xml"):
        for entry in etree.parse(str(catalog)).iter(f"{CAT}entry"):
            path = catalog.parent / entry.get("URI")
            assert md5(path) == entry.get("digest")
            found.append((catalog.parts[-3], path))
    assert sorted(path for _, path in found) == sorted(base.rglob("*.dcm"))
    return sorted((scan, md5(path)) for scan, path in found)


def scans_of(xml):
    """Scan and file count, as a session's XML says."""
    scans = etree.parse(str(xml)).getroot().iter(f"{XNAT}scan")
    return {
        scan.get("ID"): sum(int(f.get("file_count")) for f in scan.iter(f"{XNAT}file"))
        for scan in scans
    }


# -- to the prearchive -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """Sessions where each cell's lie at first; then more of each. Two runs for all of them."""
    with memory(tmp_path_factory.mktemp("cells")) as base:
        made = four(base)
        world = made["GP"].world
        for name, cell in made.items():
            waits = CELLS[name][1] == "prearchive"
            for label in (*LABELS, "OVER"):
                cell.image(label, drop=cell.drop if waits else world.drop / name)
            for label in ("MERGE", "CLASH") if waits else ():
                cell.image(label, drop=world.drop / name)
        assert world.once()[0] == 0
        for name, cell in made.items():
            remember(cell, waits=CELLS[name][1] == "prearchive")
        for name, cell in made.items():
            archived = ("MERGE", "CLASH") if CELLS[name][1] == "prearchive" else ()
            for label in (*LABELS, "OVER", "NEW", *archived):
                cell.add(label)
        code, events = world.once()
        assert code == 3
        for cell in made.values():
            cell.events = [e for e in events if e.get("project") == cell.name]
        yield made


def remember(cell, *, waits):
    """What each session is before more of it comes."""
    cell.before, cell.first, cell.archive = {}, {}, {}
    for label in (*LABELS, "OVER"):
        if waits:
            cell.before[label] = cell.one(label)
            cell.first[label] = cell.staged(cell.before[label])[0]
        else:
            cell.first[label] = cell.shelf(label)[0]
    for label in ("MERGE", "CLASH") if waits else LABELS:
        cell.archive[label] = cell.shelved_bytes(label)


@pytest.fixture(params=MODES)
def staged(request, cells):
    """To the prearchive."""
    return cells[f"{request.param[0].upper()}P"]


@pytest.fixture(params=MODES)
def merged(request, cells):
    """To the archive."""
    return cells[f"{request.param[0].upper()}A"]


class TestPrearchive:
    """dest = "prearchive": both ways of importing, one end."""

    def test_a_new_session(self, staged):
        """'For imports where the destination is set to "Prearchive," the cache status is updated
        to "receiving" and the new files are added to a new or existing session directory.'

        A study nobody had becomes a session of its own; nothing of it is in the archive.
        """
        session = staged.one("NEW")
        assert ("READY", 1, []) == (session["status"], session["files"], session["findings"])
        opened = [e["label"] for e in staged.events if e["event"] == "session.opened"]
        assert opened.count("NEW") == 1
        assert not list((staged.world.root / "archive" / staged.name).rglob("NEW"))

    def test_it_is_restructured_and_built(self, staged):
        """'Then the restructurer is run, the resulting directories are merged into the destination
        using catalog comparison, and the session builder is run.' 'Then the SessionBuilder is run
        and a cache refresh is triggered.'

        Files lie in SCANS/<scan>/DICOM with a catalog for each scan; the XML says the same; READY
        in the ledger is what the record beside the folder says.
        """
        session = staged.one("NEW")
        files, xml = staged.staged(session)
        assert ["1"] == [scan for scan, _ in files]
        assert {"1": 1} == scans_of(xml)
        assert "READY" == json.loads(xml.with_suffix(".json").read_text())["status"]

    def test_files_for_an_existing_scan(self, staged):
        """'There is also support for adding files to existing scans.'

        The session that waits takes the file: same id, one more file in the scan's catalog and in
        the XML.
        """
        session = staged.one("FILE")
        files, xml = staged.staged(session)
        assert staged.before["FILE"]["id"] == session["id"]
        assert ["1", "1"] == [scan for scan, _ in files]
        assert set(staged.first["FILE"]) < set(files)
        assert {"1": 2} == scans_of(xml)
        assert "READY" == session["status"]

    def test_a_new_scan_for_an_existing_session(self, staged):
        """'In a transactional import, new scans can be added to existing sessions. This requires
        merging the new scan data with the existing session XML.'

        The XML has the old scan and the new one; the gradual way ends the same.
        """
        session = staged.one("SCAN")
        _, xml = staged.staged(session)
        assert staged.before["SCAN"]["id"] == session["id"]
        assert {"1": 1, "2": 1} == scans_of(xml)

    def test_the_same_file_again(self, staged):
        """'The existing scan catalog and new scan catalog are parsed and compared for
        duplicates.'

        A file the session has, byte for byte, adds nothing and is no conflict.
        """
        session = staged.one("SAME")
        assert staged.first["SAME"] == staged.staged(session)[0]
        assert "READY" == session["status"]

    def test_a_differing_duplicate_waits_for_a_person(self, staged):
        """'If not, the new files are copied in and the catalog is updated.'

        Without `overwrite` both files stay in the session, and nobody guesses which is right:
        CONFLICT, `duplicate-in-session`.
        """
        session = staged.one("DIFF")
        files, _ = staged.staged(session)
        assert ("CONFLICT", ["duplicate-in-session"]) == (session["status"], session["findings"])
        assert 2 == len(files)
        assert set(staged.first["DIFF"]) < set(files)

    def test_a_differing_duplicate_where_the_project_overwrites(self, staged):
        """'If 'overwrite' is set to true in your project settings, then duplicates are
        overridden.'

        The session is READY, and once it is archived the latest file stands there; the other is in
        the history, not nowhere.
        """
        (old,) = staged.first["OVER"]
        session = staged.one("OVER")
        assert "READY" == session["status"]
        assert staged.world.watcher("archive", session["id"])[0] == 0
        ((_, digest),) = staged.shelf("OVER")[0]
        assert old[1] != digest
        assert old[1] in staged.history()

    def test_another_class_under_the_same_uid(self, staged):
        """'Duplicate instanceUID with different classUID will be ignored.'

        It is said, holds nothing, and is left out when the session is archived: the first of the
        two stands there, the newcomer is kept in quarantine.
        """
        session = staged.one("CLASS")
        assert ("READY", ["instance-other-class"]) == (session["status"], session["findings"])
        assert staged.world.watcher("archive", session["id"])[0] == 0
        assert staged.first["CLASS"] == staged.shelf("CLASS")[0]
        assert ["other-class"] == [each["code"] for each in staged.aside()]

    def test_what_fits_an_archived_session_is_ready(self, staged):
        """'If you upload an image session that has the same project, subject and session ID, XNAT
        will either overwrite the old session with the new one, or attempt to merge the two
        sessions together, depending on your Project image upload settings.'

        Of an archived session's study more came: it is staged, READY, and says what it will be
        merged into; the archive is untouched until somebody archives it.
        """
        session = staged.one("MERGE")
        assert ("READY", ["session-exists"]) == (session["status"], session["findings"])
        assert staged.archive["MERGE"] == staged.shelved_bytes("MERGE")

    def test_what_does_not_fit_is_a_conflict(self, staged):
        """'(See: Project Data Import and Anonymization Settings.)'

        Another study under an archived label stays where it is with XNAT's finding; the archive is
        untouched.
        """
        session = staged.one("CLASH", study=2)
        assert "CONFLICT" == session["status"]
        assert "study-uid-mismatch" in session["findings"]
        assert staged.archive["CLASH"] == staged.shelved_bytes("CLASH")

    def test_nothing_is_left_in_the_drop(self, staged):
        """Everything was filed: the drop is empty."""
        assert [] == staged.left()


# -- to the archive --------------------------------------------------------------------------------


class TestArchive:
    """dest = "archive": both ways of importing, one end; `dest` wins over `auto_archive`."""

    def test_a_new_session(self, merged):
        """'When the destination is set to "archive," the files are first put in a temporary
        location (the prearchive).'

        A study nobody had is archived without a person, though the project's sessions wait for
        one; the prearchive keeps nothing of it.
        """
        files, xml = merged.shelf("NEW")
        assert [] == merged.found("NEW")
        assert (1, {"1": 1}) == (len(files), scans_of(xml))
        (said,) = [e for e in merged.events if e["event"] == "session.archived"]
        assert "NEW" == said["label"]

    def test_files_for_an_existing_scan(self, merged):
        """'There is also support for adding files to existing scans.'

        The archived scan's catalog lists both files, and the XML counts them.
        """
        files, xml = merged.shelf("FILE")
        assert set(merged.first["FILE"]) < set(files)
        assert ({"1": 2}, []) == (scans_of(xml), merged.found("FILE"))

    def test_a_new_scan_for_an_existing_session(self, merged):
        """'The new scans are added to the existing session without a compatibility check. If
        compatible, this will succeed. The files will be moved to the archive and the xml for the
        session will be updated.'

        The check is made, and passes; the XML has both scans.
        """
        assert {"1": 1, "2": 1} == scans_of(merged.shelf("SCAN")[1])
        assert [] == merged.found("SCAN")

    def test_the_same_file_again(self, merged):
        """'The existing scan catalog and new scan catalog are parsed and compared for
        duplicates.'

        The archive has it already: not a byte of the archived session changes, nothing waits.
        """
        assert merged.archive["SAME"] == merged.shelved_bytes("SAME")
        assert [] == merged.found("SAME")

    def test_a_differing_duplicate_waits_for_a_person(self, merged):
        """'If incompatible, it will fail, but the files will remain in the prearchive for admin
        followup.'

        A file with other bytes under the same UIDs stays in the prearchive, with status, finding
        and the commands that settle it; the archived one is untouched.
        """
        session = merged.one("DIFF")
        document, code = merged.world.json("show", session["id"])
        assert (0, "CONFLICT") == (code, session["status"])
        assert "instance-differs" in session["findings"]
        assert "--overwrite" in json.dumps(document)
        assert merged.archive["DIFF"] == merged.shelved_bytes("DIFF")

    def test_a_differing_duplicate_where_the_project_overwrites(self, merged):
        """'If 'overwrite' is set to true in your project settings, then duplicates are
        overridden.'

        The newcomer stands in the archive, the other in the history.
        """
        (old,) = merged.first["OVER"]
        ((_, digest),) = merged.shelf("OVER")[0]
        assert old[1] != digest
        assert [] == merged.found("OVER")
        assert old[1] in merged.history()

    def test_another_class_under_the_same_uid_is_ignored(self, merged):
        """'Duplicate instanceUID with different classUID will be ignored.'

        The archive keeps the one it has; the newcomer is kept in quarantine, and its session ends.
        """
        assert merged.archive["CLASS"] == merged.shelved_bytes("CLASS")
        assert [] == merged.found("CLASS")
        assert ["other-class"] == [each["code"] for each in merged.aside()]

    def test_another_study_remains_in_the_prearchive(self, merged):
        """'If incompatible, it will fail, but the files will remain in the prearchive for admin
        followup.'

        XNAT's own words for it, both sides, and not a byte of the archived session changed.
        """
        session = merged.one("STUDY", study=2)
        assert "CONFLICT" == session["status"]
        assert "study-uid-mismatch" in session["findings"]
        (said,) = [
            e
            for e in merged.events
            if e["event"] == "session.conflict" and e["session"] == session["id"]
        ]
        texts = [each["text"] for each in said["findings"]]
        assert "Session upload failed" == said["message"]
        assert "Invalid modification of session UID via archive process." in texts
        assert merged.archive["STUDY"] == merged.shelved_bytes("STUDY")

    def test_readers_find_what_is_listed_and_nothing_else(self, merged):
        """'The files will be moved to the archive and the xml for the session will be updated.'

        At the end every instance of the archive is listed, with its digest, and `verify` agrees.
        """
        assert merged.world.archived()
        assert [] == merged.world.uncatalogued()
        assert merged.world.watcher("verify", merged.name)[0] == 0

    def test_nothing_is_left_in_the_drop(self, merged):
        """What was archived, and what waits for a person, has left the drop."""
        assert [] == merged.left()


# -- what tells the two ways apart -----------------------------------------------------------------


class TestGradual:
    """One file at a time, while more may come."""

    def test_a_session_receives_until_nothing_comes(self, tmp_path):
        """'For imports where the destination is set to "prearchive," files are added one at a time
        (or scan by scan) to an existing prearchive directory. The cache is updated to show the
        time of last file add and the status of receiving.' 'There is a timer that rebuilds session
        XML for sessions that are receiving but inactive.'

        While the timer runs the session is RECEIVING, each file already lies in it, the time of
        the last one moves, and there is no XML; inactive, it is built.
        """
        cell = alone(tmp_path, "GP", inactivity="1h")
        world = cell.world
        with world.daemon() as daemon:
            cell.image("FILE")
            daemon.wait_for("file.filed")
            first = world.sessions["FILE"]
            cell.add("FILE")
            daemon.wait_for("file.filed", count=2)
            second = world.sessions["FILE"]
            daemon.stop()
        assert ("RECEIVING", "RECEIVING") == (first["status"], second["status"])
        assert first["id"] == second["id"]
        assert first["last_arrival"] < second["last_arrival"]
        assert not list((world.root / "prearchive").rglob("FILE.xml"))
        world.once()
        assert list((world.root / "prearchive").rglob("FILE.xml"))

    def test_files_go_ahead_and_catalogs_follow(self, tmp_path):
        """'For imports where the destination is set to 'archive', the files are added gradually
        and then DCM Refresh is run.'

        Of an archived study more comes: until nothing came for `inactivity` the file lies in the
        archive, no catalog lists it, every listed file is there, `verify` says pending and exits
        0; a kill -9 then is no harm, and the next start's refresh lists it.
        """
        cell = alone(tmp_path, "GA", inactivity="1h")
        world = cell.world
        cell.image("FILE")
        assert world.once()[0] == 0
        before = cell.shelf("FILE")[0]
        with world.daemon() as daemon:
            cell.add("FILE")
            daemon.wait_for("file.filed")
            daemon.wait_until(lambda: len(world.uncatalogued()) == 1)
            assert before == sorted(("1", digest) for digest in world.archived().values())
            session = until(lambda: cell.one("FILE"), lambda each: each["place"] == "archive")
            assert "RECEIVING" == session["status"]
            assert world.json("verify", "GA/FILE")[1] == 0
            daemon.process.kill()
            daemon.process.wait(180)
        world.once()
        assert 2 == len(cell.shelf("FILE")[0])
        assert ([], []) == (world.uncatalogued(), cell.found("FILE"))

    def test_the_rest_uri_is_a_drop(self, tmp_path):
        """'Gradual Import can be specified via a POST to the following REST URI:
        /services/import?inbody=true&dest=/archive/projects/{project_ID}&import-handler=gradual-DICOM'

        It is a drop with import = "gradual", dest = "archive" and a project: what is put there
        without any project in its header is archived under that one.
        """
        lines = ['import = "gradual"', 'dest = "archive"']
        world = World(tmp_path, project="P7", drop_lines=lines)
        make_dicom(world.drop / "anything")
        assert world.once()[0] == 0
        assert ["P7"] == [p.parts[-4] for p in (world.root / "archive").rglob("P1/SCANS")]

    def test_a_session_url_and_attributes_name_it(self, tmp_path):
        """'There is now support for adding files via a special session URL or via DICOM
        attributes.'

        `layout` is the URL: below a project's, timestamp's and session's folder the header names
        nothing; beside it, in another drop, the attributes do.
        """
        headers = tmp_path / "headers"
        headers.mkdir()
        extra = f'[projects.P9]\n[[drop]]\npath = "{headers}"\nsettle = "100ms"\n'
        layout = ['layout = "{project}/{timestamp}/{session}"']
        world = World(tmp_path, project=None, drop_lines=layout, extra=extra)
        make_dicom(world.drop / "P9" / "20260619_091425123" / "VISIT" / "a", patient_id="HEADER")
        study = {"study": "1.2.9", "series": "1.2.9.1", "sop": "1.2.9.1.1"}
        make_dicom(headers / "b", **study, patient_id="ATTRIBUTE", description="P9")
        assert world.once()[0] == 0
        assert {"VISIT", "ATTRIBUTE"} == {label for label, _ in world.archived()}


class TestTransactional:
    """Transactional Import (uploads files and updates session as one transaction)"""

    def test_several_studies_land_together(self, tmp_path):
        """'Transactional Import (uploads files and updates session as one transaction)'

        One unit with two studies: both sessions, and a note set aside; the unit is gone.
        """
        cell = alone(tmp_path, "TA")
        for label in ("ONE", "TWO"):
            cell.image(label, drop=cell.drop / "visit")
        (cell.drop / "visit" / "notes.txt").write_text("not DICOM")
        code, _ = cell.world.once()
        assert {"ONE", "TWO"} == {label for label, _ in cell.world.archived()}
        entries, _ = cell.world.json("quarantine", "list")
        assert (["not-dicom"], 3) == ([each["code"] for each in entries], code)
        assert [] == cell.left()

    def test_a_torn_member_keeps_all_of_it_out(self, tmp_path):
        """'There are two possible methods for merging sessions together.'

        This one takes all or nothing: while one member is torn nothing of the unit is anywhere but
        in the drop; made whole, all of it comes in one go.
        """
        made = four(tmp_path)
        units = [made["TP"], made["TA"]]
        world = units[0].world
        for cell in units:
            cell.image("FILE")
        torn = {Path(cell.add("FILE")) for cell in units}
        whole = {path: path.read_bytes() for path in torn}
        for path in torn:
            path.write_bytes(whole[path][:-10])
        assert world.once()[0] == 3
        assert [2, 2] == [len(cell.left()) for cell in units]
        assert ([], {}) == (world.prearchive(), world.archived())
        for path in torn:
            path.write_bytes(whole[path])
        assert world.once()[0] == 0
        staged, archived = units
        assert 2 == len(staged.staged(staged.one("FILE"))[0]) == len(archived.shelf("FILE")[0])
        assert [[], []] == [cell.left() for cell in units]

    def test_a_refused_unit_is_in_quarantine_whole(self, tmp_path):
        """A member without its UIDs refuses the unit: one entry with every file and the reason."""
        cell = alone(tmp_path, "TA")
        world = cell.world
        good = md5(cell.image("ONE"))
        bad = md5(make_dicom(cell.drop / "ONE" / "bad.dcm", study=None))
        assert world.once()[0] == 3
        (entry,), _ = world.json("quarantine", "list")
        assert ("missing-uid", 2) == (entry["code"], entry["files"])
        kept = {md5(p) for p in (world.root / "quarantine").rglob("*.dcm")}
        assert ({good, bad}, [], {}) == (kept, world.left(), world.archived())


@pytest.mark.campaign
def test_real_studies_end_alike_in_every_cell(tmp_path):
    """Two patients and seven studies of real scanners: in each cell every instance, once.

    In the prearchive, READY, or in the archive: the same files under the same names.
    """
    identify = '[identify]\nsession = ["{PatientID}_{StudyInstanceUID}"]\n'
    made = four(tmp_path, extra=identify, fixed=True)
    world, sources = made["GP"].world, dicomdir_patients()
    for cell in made.values():
        for number, path in enumerate(sources):
            target = cell.drop / "export" / f"{number % 3}" / f"IM{number:03}"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    code, _ = world.once()
    stores = {"GP": "prearchive", "TP": "prearchive", "GA": "archive", "TA": "archive"}
    found = {name: world.root / stores[name] / name for name in made}
    wanted = sorted(map(md5, sources))
    assert dict.fromkeys(made, wanted) == {
        name: sorted(digest for _, digest in listed(base)) for name, base in found.items()
    }
    assert 1 == len({tuple(sorted(p.name for p in b.rglob("*.dcm"))) for b in found.values()})
    listing, _ = world.json("sessions")
    assert {("READY", "GP"), ("READY", "TP")} == {(s["status"], s["project"]) for s in listing}
    assert (0, []) == (code, [name for cell in made.values() for name in cell.left()])


def test_every_sentence_of_the_guide_is_quoted():
    """What stands in quotes in this file is the guide's text, and all of it: none is left out."""
    if not GUIDE.is_file():
        pytest.skip(f"no {GUIDE} on this machine")
    said = flat(Path(__file__).read_text(encoding="utf-8"))
    missing = [
        sentence
        for line in GUIDE.read_text(encoding="utf-8").splitlines()
        if line.strip() and line.strip() not in HEADINGS
        for sentence in re.split(r"(?<=[a-z]\.|[)XML]\.) (?=[A-Z(])", line.strip())
        if flat(sentence) not in said
    ]
    assert missing == []


def flat(text):
    return " ".join(text.split())
