"""Folders that name the session, and media that list their files, on the real program."""

import json
import os
import shutil
from collections import Counter

import media
from makers import make_dicom
from world import World

LAYOUT = 'layout = "{project}/{timestamp}/{session}"'
MANUAL = "[projects.P1]\nauto_archive = false"
NAME = "20260619_091425123"
OTHER = "20260620_101112131"


def drop(world, path, study="1.1", number=1, **values):
    """One file of a series of a study."""
    uids = {"series": f"{study}.1", "sop": f"{study}.1.{number}", "instance": number}
    return make_dicom(world.drop / path, study=study, **{**uids, **values})


def laid(tmp_path, extra=MANUAL, lines=(LAYOUT,)):
    """An installation whose drop has a layout."""
    return World(tmp_path, project=None, drop_lines=lines, extra=extra)


def standing(world):
    """Every session by id: its project, label, files and status."""
    found, _ = world.json("sessions")
    return {
        each["id"]: (each["project"], each["label"], each["files"], each["status"])
        for each in found
    }


def origins(world, session):
    return world.json("show", session)[0]["origins"]


class TestNamedSessions:
    """`{timestamp}`: the folder names the prearchive session, as XNAT's session URL does."""

    def test_two_timestamps_are_two_sessions(self, tmp_path):
        """Folders with one session name and two timestamps are two sessions; a well-formed
        timestamp is the session's id, any other is remembered, in its own record too.
        """
        world = laid(tmp_path)
        drop(world, f"P1/{NAME}/S1/a")
        drop(world, "P1/20260619_091425/S1/deeper/still/a", number=2)
        drop(world, "P1/monday/S1/a", number=3)
        drop(world, "P1/99999999_999999/S1/a", number=4)
        code, _ = world.once()
        sessions = standing(world)
        assert (0, 4) == (code, len(sessions))
        assert {("P1", "S1", 1, "READY")} == set(sessions.values())
        assert {NAME, "20260619_091425"} <= sessions.keys()
        names = {NAME, "20260619_091425", "monday", "99999999_999999"}
        assert names == {origins(world, each)["timestamp"] for each in sessions}
        for name in (NAME, "20260619_091425"):
            told, _ = world.json("explain", str(drop(world, f"P1/{name}/S1/late", number=9)))
            assert (name, "READY") == (told["takes"], told["takes_status"])
        records = (world.root / "prearchive/P1").rglob("S1.json")
        assert names == {json.loads(each.read_text())["origins"]["timestamp"] for each in records}

    def test_they_are_found_again(self, tmp_path):
        """Later files of a name find its session, whatever their study, after a restart and
        after the ledger was lost.
        """
        world = laid(tmp_path)
        drop(world, f"P1/{NAME}/S1/a")
        drop(world, "P1/monday/S1/a", number=2)
        world.once()
        (monday,) = standing(world).keys() - {NAME}
        drop(world, f"P1/{NAME}/S1/b", number=3)
        drop(world, "P1/monday/S1/b", number=4)
        world.once()
        expected = dict.fromkeys((NAME, monday), ("P1", "S1", 2, "READY"))
        assert expected == standing(world)
        shutil.rmtree(world.root / "state")
        drop(world, f"P1/{NAME}/S1/c", number=5)
        drop(world, "P1/monday/S1/c", study="1.2")
        world.once()
        expected = {NAME: ("P1", "S1", 3, "READY"), monday: ("P1", "S1", 3, "CONFLICT")}
        assert expected == standing(world)

    def test_an_archived_name_is_not_given_again(self, tmp_path):
        """A name whose session is archived stays that session's id: later files get another."""
        world = laid(tmp_path, extra="[projects.P1]")
        drop(world, f"P1/{NAME}/S1/a")
        assert 0 == world.once()[0]
        shutil.rmtree(world.root / "state")  # the archive knows it too
        drop(world, f"P1/{NAME}/S1/b", number=2)
        _, events = world.once()
        (opened,) = [each["session"] for each in events if each["event"] == "session.opened"]
        (merged,) = [each["session"] for each in events if each["event"] == "session.merged"]
        assert (opened, 2) == (merged, len(world.archived()))
        assert opened != NAME

    def test_two_studies_in_one_named_session(self, tmp_path):
        """They are filed, then `mixed-studies`; a person merges them, or takes them apart."""
        world = laid(tmp_path, extra="[projects.P1]")
        for name, head in ((NAME, 1), (OTHER, 2)):
            for number in (1, 2):
                drop(world, f"P1/{name}/S{head}/{number}", study=f"{head}.1", number=number)
            drop(world, f"P1/{name}/S{head}/c", study=f"{head}.2")
        assert 3 == world.once()[0]
        assert {("P1", 3, "CONFLICT")} == {(p, n, s) for p, _, n, s in standing(world).values()}
        for name in (NAME, OTHER):
            (finding,) = world.json("validate", name)[0]["findings"]
            assert ("mixed-studies", "CONFLICT") == (finding["code"], finding["severity"])
        assert 0 == world.watcher("archive", NAME, "--force", "--reason", "one visit")[0]
        assert {"S1": 3} == self.archived(world)
        world.watcher("split", OTHER)  # the study of most files is archived at once
        assert {"S1": 3, "S2": 2} == self.archived(world)
        drop(world, f"P1/{OTHER}/S2/d", study="2.2", number=2)  # follows its study
        world.once()
        assert [("P1", "S2", 2, "CONFLICT")] == list(standing(world).values())

    def archived(self, world):
        """How many files are archived under each label."""
        return Counter(label for label, _ in world.archived())


class TestPaths:
    """Folders that fit, that do not, and that mean harm."""

    def test_a_path_that_does_not_fit_follows_headers_and_says_so(self, tmp_path):
        """One line for each folder, not for each file; the session says it too."""
        world = laid(tmp_path, lines=('layout = "in/{project}/*/{session}"',))
        for number in (1, 2):
            drop(world, f"in/P1/any/S1/deep/{number}", number=number)
            drop(world, f"IN/P1/any/S1/{number}", study="1.2", number=number)
            drop(world, f"{number}", study="1.3", number=number, comments="Project:P1 Session:L")
        _, events = world.once()
        said = [each for each in events if each["event"] == "drop.unmatched"]
        assert [("info", "mri")] * 2 == [(each["level"], each["drop"]) for each in said]
        assert {".", "IN/P1/any/S1"} == {each["path"] for each in said}
        found = {(project, label): key for key, (project, label, *_) in standing(world).items()}
        assert {("P1", "S1"), ("P1", "L"), (None, "P1")} == found.keys()
        assert "layout" not in origins(world, found["P1", "S1"])
        assert "no match" == origins(world, found["P1", "L"])["layout"]
        assert "no match" in world.watcher("show", found["P1", "L"])[1]
        explained = world.watcher("explain", "drop.unmatched")[1]
        assert "layout" in explained

    def test_an_unknown_project(self, tmp_path):
        """A folder that names no known project leaves its files Unassigned, whatever they say."""
        world = laid(tmp_path)
        drop(world, f"NOBODY/{NAME}/S1/a", comments="Project:P1")
        world.once()
        assert {NAME: (None, "S1", 1, "CONFLICT")} == standing(world)
        assert "layout" == origins(world, NAME)["project"]
        world.watcher("move", NAME, "--project", "P1")
        assert {NAME: ("P1", "S1", 1, "READY")} == standing(world)

    def test_hostile_names(self, tmp_path):
        """Names with newlines, not in UTF-8, of dots, of 255 bytes become labels; no path."""
        world = laid(tmp_path)
        names = [b"a\nb", b"\xff\xfe", b"a..b", b"x" * 255, "\N{GREEK SMALL LETTER ALPHA}".encode()]
        for number, name in enumerate(names):
            for folder in (b"t/" + name, name + b"/S"):
                path = os.fsdecode(b"P1/" + folder + b"/f")
                drop(world, path, study=f"1.{number + 1}", number=len(folder))
        world.once()
        sessions = standing(world)
        assert 10 == sum(files for _, _, files, _ in sessions.values())
        assert {"P1"} == {project for project, *_ in sessions.values()}
        filed = [path.split("/") for path in world.prearchive() if path.endswith(".dcm")]
        assert sorted((key, label) for key, (_, label, *_) in sessions.items()) == sorted(
            {(key, label) for _, key, label, *_ in filed}
        )
        for each in sessions:
            assert each in world.watcher("show", each)[1]
        assert [] == world.left()


CD = "cd/DICOMDIR"


def burn(world, count=3, name=CD):
    """A medium of one study in the drop: its DICOMDIR only."""
    files = {f"1.1.1.{number}": f"DICOM\\IM{number}" for number in range(1, count + 1)}
    path = world.drop / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(media.medium({"1.1": {"1.1.1": files}}))


def incomplete(world, label="P1"):
    """What the session of this label is said to lack."""
    document, _ = world.json("validate", world.sessions[label]["id"])
    return [
        (each["severity"], each["evidence"]["count"], each["incoming"]["files"])
        for each in document["findings"]
        if each["code"] == "incomplete"
    ]


class TestMedia:
    """A DICOMDIR is the list of what should come."""

    def test_what_never_came(self, tmp_path):
        """Missing files are told, by their place, and hold where the project says so; the list
        stays where it lies, and is read again for a new ledger. With the last of its files, by
        whatever name, nothing is missing.
        """
        world = World(tmp_path, extra='[projects.P1]\nhold = ["incomplete"]')
        burn(world)
        drop(world, "cd/DICOM/IM1")
        drop(world, "cd/DICOM/IM2", number=2)
        code, _ = world.once()
        assert (3, [CD]) == (code, world.left())
        assert [("CONFLICT", 1, ["cd/DICOM/IM3"])] == incomplete(world)
        shutil.rmtree(world.root / "state")
        drop(world, "cd/dicom/im4;1", number=4)
        assert 3 == world.once()[0]
        assert [("CONFLICT", 1, ["cd/DICOM/IM3"])] == incomplete(world)
        drop(world, "late", number=3)
        assert (0, [CD]) == (world.once()[0], world.left())
        assert 4 == len(world.archived())

    def test_a_listed_file_that_is_still_coming_holds_the_timer(self, tmp_path):
        """Wherever in the drop it lies: the session is archived once, with all of its files."""
        lines = ['stuck_after = "1h"']
        world = World(tmp_path, drop_lines=lines, inactivity="200ms", rescan="200ms")
        burn(world, count=2)
        assert 0 == world.once()[0]  # the list is known
        whole = drop(world, "aside/.hidden", number=2)
        data = whole.read_bytes()
        late = world.drop / "cd/dicom/im2"
        late.parent.mkdir(parents=True)
        late.write_bytes(data[:-10])
        with world.daemon() as daemon:
            daemon.wait_for("file.waiting", path="cd/dicom/im2")
            drop(world, "here/IM1")
            daemon.wait_for("file.filed")
            # a study that no list names goes its way meanwhile: the timer is not the machine's
            drop(world, "there/IM1", study="1.5", PatientID="other")
            daemon.wait_for("session.archived", label="other")
            assert "RECEIVING" == world.sessions["P1"]["status"]
            with late.open("ab") as file:
                file.write(data[-10:])
            daemon.wait_for("session.archived", label="P1", files=2)
            daemon.stop()
        assert 3 == len(world.archived())

    def test_of_units(self, tmp_path):
        """A unit's DICOMDIR is its list too, from a folder or an archive: what is not in the unit
        is missing, and the list is set aside with what is no image.
        """
        world = World(tmp_path, drop_lines=['import = "transactional"'], extra=MANUAL)
        burn(world, count=2)
        drop(world, "cd/DICOM/IM1")
        shutil.make_archive(str(tmp_path / "z"), "zip", world.drop / "cd")
        (tmp_path / "z.zip").rename(world.drop / "z.zip")
        shutil.move(world.drop / "cd", tmp_path / "later")
        world.once()
        assert [("WARN", 1, ["z.zip/DICOM/IM2"])] == incomplete(world)
        world.watcher("delete", world.sessions["P1"]["id"], "--reason", "again")
        shutil.rmtree(world.root / "state")  # and the list with it
        shutil.move(tmp_path / "later", world.drop / "cd")
        world.once()
        assert [("WARN", 1, ["cd/DICOM/IM2"])] == incomplete(world)
        assert [] == world.left()

    def test_one_that_is_no_list(self, tmp_path):
        """A DICOMDIR that can't be read is never a fault: the files beside it are archived."""
        world = World(tmp_path)
        drop(world, "cd/DICOM/IM1")
        torn = media.dicomdir([media.record()])[:-9]
        hostile = media.dicomdir([media.record(lower=2**31, following=2**31)] * 9)
        for number, data in enumerate((torn, hostile)):
            (world.drop / f"cd/DICOMDIR{number}").write_bytes(data)
        code, events = world.once()
        assert (0, 1) == (code, len(world.archived()))
        assert [] == [each for each in events if each["level"] == "error"]
        assert ["cd/DICOMDIR0", "cd/DICOMDIR1"] == world.left()
