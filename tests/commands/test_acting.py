"""The commands that act on sessions: chosen, asked for, leased, acted on, told."""

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from imaging import told
from makers import make_dicom
from world import World

from watcher.commands.acting import act_on
from watcher.commands.options import Common
from watcher.io import files
from watcher.stages import decide

PATIENCE = 240.0  # seconds until a command must have ended: machines are shared and slow
EXTRA = """
[projects.P1]
auto_archive = false
aliases = ["one"]
[projects.P2]
[projects.P3]
auto_archive = false
"""


def put(world, label, study, *, series=1, **values):
    """One instance of a session of its own, or a further series of one."""
    return make_dicom(
        world.drop / f"{label}-{study}-{series}",
        study=study,
        series=f"{study}.{series}",
        sop=f"{study}.9.{series}",
        number=series,
        patient_id=label,
        **values,
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Sessions of their own for every test of this module, all READY."""
    made = World(tmp_path_factory.mktemp("acting"), extra=EXTRA)
    for number, label in enumerate(LABELS):
        put(made, label, f"1.2.{number}")
    put(made, "SCANS", "1.2.50", series=1)
    put(made, "SCANS", "1.2.50", series=2)
    assert made.once()[0] == 0
    return made


LABELS = [
    *("ARCHIVE", "BOTH1", "BOTH2", "TWICE1", "TWICE2", "REBUILD", "MOVE", "ALIAS", "SAME"),
    *("RELABEL", "SUBJECT", "DELETE", "VALIDATE", "FROM", "FORCED", "BROKEN", "SAID", "LATER"),
]


def session(world, label):
    return world.sessions[label]


def on_terminal(world, answer, *arguments):
    """A command whose standard input is a terminal: its exit code and what it printed."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "watcher", *arguments, "--config", str(world.config)],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        os.close(theirs)
        asked = b""
        while not asked.endswith(b"[y/N] "):
            asked += process.stderr.read1(1000)
        if answer is None:
            _wait_asleep(process.pid)
            process.send_signal(signal.SIGINT)
        else:
            os.write(ours, answer)
        _, rest = process.communicate(timeout=PATIENCE)
    os.close(ours)
    return process.returncode, (asked + rest).decode()


def _wait_asleep(pid):
    """Waits until a process of one thread waits: a signal in the last step before is lost on it."""
    state = ""
    while state not in {"S", "Z"}:
        os.sched_yield()
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


class TestChoosing:
    """Which sessions are meant."""

    def test_several_ids_at_once(self, world):
        """Each is acted on; one document tells how they ended."""
        done, code = world.json("archive", "BOTH1", "BOTH2")
        assert (0, {"BOTH1", "BOTH2"}) == (code, {each["label"] for each in done})
        assert {"ARCHIVED"} == {each["status"] for each in done}

    def test_one_that_is_refused_does_not_stop_the_others(self, world):
        """An archived session among them: 4, said, and the other one archived."""
        wanted = session(world, "TWICE2")["id"]
        gone = session(world, "TWICE1")["id"]
        assert 0 == world.watcher("archive", gone)[0]
        assert 4 == world.watcher("archive", gone)[0]
        assert 4 == world.watcher("archive", gone, wanted)[0]
        assert f"watcher: {gone}: {gone} is archived" in world.errors
        assert "ARCHIVED" == world.json("show", wanted)[0]["status"]
        assert 4 == world.watcher("archive", "P1/TWICE1", "P1/TWICE2")[0]

    def test_an_archived_one_of_which_no_id_is_known_is_refused(self, tmp_path):
        """The ledger was lost: PROJECT/LABEL is archived still, and says so."""
        other = World(tmp_path)
        make_dicom(other.drop / "a")
        assert 0 == other.once()[0]
        shutil.rmtree(other.root / "state")
        assert 0 == other.once()[0]
        assert 4 == other.watcher("rebuild", "P1/P1")[0]
        assert "P1/P1 is archived" in other.errors

    @pytest.mark.parametrize("words", [(), ("nobody",), ("20260619",), ("P1",)])
    def test_none_or_an_ambiguous_one_is_a_fault_of_usage(self, world, words):
        """No id, an unknown one, a part that fits several: 2, nothing changed."""
        assert 2 == world.watcher("rebuild", *words)[0]

    def test_a_selection_is_asked_for_once(self, world):
        """Not on a terminal it wants --yes; on one it lists them and asks; `n` changes nothing."""
        before = world.sessions
        assert 2 == world.watcher("archive", "--status", "READY")[0]
        code, text = on_terminal(world, b"n\n", "archive", "--project", "p1")
        assert (4, True) == (code, "nothing was changed" in text)
        assert all(each["id"] in text for each in before.values() if each["project"] == "P1")
        assert before == world.sessions

    def test_one_that_moves_meanwhile_is_refused(self, world):
        """Its leases are those on another place by then: nothing is done to it."""
        ids = [session(world, label)["id"] for label in ("SAME", "LATER")]
        to = {"project": "P1", "label": "ELSEWHERE", "subject": "S", "command": "move", "who": ""}

        def act(parts, _):
            return decide.relocate(parts, ids[1], **to)

        with Common(config=str(world.config)).parts() as parts:
            found = [parts.ledger.session(each) for each in ids]
            assert 4 == act_on(parts, found, act, json=False)
        world.watcher("relabel", session(world, "ELSEWHERE")["id"], "--session", "LATER")

    def test_ctrl_c_at_the_question_is_an_interruption(self, world):
        """130, no traceback, and nothing changed."""
        before = world.sessions
        code, text = on_terminal(world, None, "rebuild", "--status", "READY")
        assert (130, False) == (code, "Traceback" in text)
        assert before == world.sessions

    def test_yes_goes_on(self, world):
        """On a terminal `y` goes on; beside a pipe --yes does."""
        code, _ = on_terminal(world, b"y\n", "rebuild", "--project", "P1")
        assert 0 == code
        assert 0 == world.watcher("rebuild", "--project", "P1", "--yes")[0]


class TestTelling:
    """What is printed."""

    def test_what_blocks_is_shown_with_what_settles_it(self, world, tmp_path, capsys):
        """A conflict: 3, the finding's text and the commands, as for people."""
        other = World(tmp_path, project=None, extra="[projects.P1]")
        make_dicom(other.drop / "a")
        other.once()
        code, text = told(capsys, other.config, "archive", "P1")
        assert 3 == code
        assert "FAIL no-project" in text
        assert f"watcher move {other.sessions['P1']['id']}" in text

    def test_an_error_is_shown_with_its_reason(self, world, capsys):
        """The archived XML is damaged: 3, ERROR, and why."""
        wanted = session(world, "BROKEN")["id"]
        assert 0 == world.watcher("archive", wanted)[0]
        files.swap(str(world.root / "archive/P1/arc001/BROKEN.xml"), b"<half")
        make_dicom(world.drop / "again", study="1.2.77", patient_id="BROKEN")
        assert 3 == world.once()[0]
        late = session(world, "BROKEN")["id"]
        code, text = told(capsys, world.config, "archive", late)
        assert (3, True) == (code, "ERROR" in text)
        assert "can't be read as XML" in text
        world.watcher("delete", late, "--reason", "the test is over")

    def test_events_go_to_the_log(self, tmp_path):
        """Without a daemon the command itself appends them to `log.file`."""
        log = tmp_path / "w.jsonl"
        other = World(tmp_path, extra=f'file = "{log}"\n{EXTRA}')
        make_dicom(other.drop / "a")
        other.once()
        assert 0 == other.watcher("archive", "P1")[0]
        events = [json.loads(line)["event"] for line in log.read_text().splitlines()]
        assert "session.archived" == events[-1]


class TestArchive:
    """`watcher archive`."""

    def test_it_is_in_the_archive(self, world, capsys):
        """0, a table for people, and the files are where the archive has them."""
        code, text = told(capsys, world.config, "archive", session(world, "ARCHIVE")["id"])
        assert (0, True) == (code, "ARCHIVED" in text)
        assert "ARCHIVE" in {label for label, _ in world.archived()}

    def test_force_wants_a_reason_and_says_what_it_overrides(self, world, capsys):
        """2 without a reason; with one, the warning and each finding are said before it acts."""
        assert 0 == world.watcher("archive", session(world, "FORCED")["id"])[0]
        put(world, "FORCED", "1.2.60")
        assert 3 == world.once()[0]
        wanted = session(world, "FORCED")["id"]
        assert 2 == world.watcher("archive", wanted, "--force")[0]
        code, text = told(capsys, world.config, "archive", wanted, "--force", "--reason", "same")
        assert 0 == code
        assert text.index("overrides study-uid-mismatch") < text.index("data integrity")


class TestOthers:
    """`rebuild`, `move`, `relabel`, `delete`."""

    def test_rebuild(self, world):
        """Built again, validated, not archived."""
        done, code = world.json("rebuild", session(world, "REBUILD")["id"])
        assert (0, ["READY"]) == (code, [each["status"] for each in done])

    def test_move(self, world):
        """To a project that archives by itself: archived there."""
        wanted = session(world, "MOVE")["id"]
        done, code = world.json("move", wanted, "--project", "P2", "--reason", "theirs")
        assert (0, "P2", "ARCHIVED") == (code, done[0]["project"], done[0]["status"])

    def test_move_knows_aliases_and_no_other_names(self, world, capsys):
        """An alias is the project; an unknown one is 2, with those that are known."""
        wanted = session(world, "ALIAS")["id"]
        assert 0 == world.watcher("move", wanted, "--project", "P3")[0]
        assert 0 == world.watcher("move", wanted, "--project", "ONE")[0]
        code, text = told(capsys, world.config, "move", wanted, "--project", "P9")
        assert (2, True) == (code, "known: P1, P2, P3" in text)

    def test_move_of_a_selection(self, world):
        """`--status` and `--from` choose, `--project` is where to; asked once."""
        wanted = session(world, "FROM")["id"]
        assert 0 == world.watcher("move", wanted, "--project", "P3")[0]
        words = ("move", "--from", "p3", "--status", "READY", "--project", "P1")
        assert 2 == world.watcher(*words)[0]
        done, code = world.json(*words, "--yes")
        assert (0, [(wanted, "P1")]) == (code, [(each["id"], each["project"]) for each in done])

    def test_move_to_where_it_is_changes_nothing(self, world):
        """4, and no decision is recorded."""
        assert 4 == world.watcher("move", session(world, "SAME")["id"], "--project", "P1")[0]

    def test_relabel(self, world):
        """Another label: the session, its folder and later files have it."""
        wanted = session(world, "RELABEL")["id"]
        done, code = world.json("relabel", wanted, "--session", "NEW", "--subject", "S9")
        assert (0, "NEW", "S9") == (code, done[0]["label"], done[0]["subject"])
        assert (world.root / "prearchive" / "P1" / wanted / "NEW.xml").is_file()
        world.watcher("relabel", wanted, "--session", "RELABEL")

    def test_relabel_of_the_subject_alone(self, world):
        """Only the subject changes."""
        wanted = session(world, "SUBJECT")
        done, _ = world.json("relabel", wanted["id"], "--subject", "S8")
        assert ("SUBJECT", "S8") == (done[0]["label"], done[0]["subject"])

    def test_relabel_of_several(self, world):
        """One subject for all of them; one label for several is a fault of usage."""
        several = [session(world, label)["id"] for label in ("FROM", "SUBJECT")]
        assert 2 == world.watcher("relabel", *several, "--session", "L")[0]
        done, code = world.json("relabel", *several, "--subject", "S7")
        assert (0, ["S7", "S7"]) == (code, [each["subject"] for each in done])

    @pytest.mark.parametrize("words", [(), ("--session", "a/b"), ("--subject", "Müller")])
    def test_relabel_refuses_what_is_no_label(self, world, words):
        """Nothing to change, or a text that could not be a folder's name: 2."""
        assert 2 == world.watcher("relabel", session(world, "LATER")["id"], *words)[0]

    def test_delete_wants_a_reason(self, world):
        """2 without one; with one everything of it is in the history."""
        wanted = session(world, "DELETE")["id"]
        assert 2 == world.watcher("delete", wanted)[0]
        done, code = world.json("delete", wanted, "--reason", "phantom")
        assert (0, "DELETED") == (code, done[0]["status"])
        assert (world.root / "history" / "P1" / "DELETE" / f"{wanted}.xml").is_file()

    def test_delete_of_some_scans(self, world):
        """`--scan` takes those; one that is not there is refused."""
        wanted = session(world, "SCANS")["id"]
        assert 4 == world.watcher("delete", wanted, "--scan", "7", "--reason", "x")[0]
        done, code = world.json("delete", wanted, "--scan", " 2,", "--reason", "x")
        assert (0, "READY") == (code, done[0]["status"])
        assert 1 == session(world, "SCANS")["scans"]


class TestValidate:
    """`watcher validate`."""

    def test_one_that_would_be_archived(self, world):
        """Verdict ok and 0, and nothing of the stores has changed."""
        before = world.prearchive(), world.archived()
        wanted = session(world, "VALIDATE")["id"]
        found, code = world.json("validate", wanted)
        assert (0, wanted, "ok") == (code, found["id"], found["verdict"])
        assert before == (world.prearchive(), world.archived())

    def test_a_selection_is_not_asked_for(self, world):
        """All of a project or status: nothing is written, so nobody is asked."""
        one = session(world, "VALIDATE")
        found, code = world.json("validate", "--status", "READY", "--project", "p1")
        assert (0, True) == (code, one["id"] in [each["id"] for each in found])
        assert 2 == world.watcher("validate", "--project", "nobody")[0]

    def test_several_for_people(self, world, capsys, tmp_path):
        """One line each; findings with XNAT's number, both sides and what settles them; 3."""
        other = World(tmp_path, extra="[projects.P1]\nauto_archive = false")
        make_dicom(other.drop / "a")
        other.once()
        other.watcher("archive", "P1")
        for number in (4, 5):
            put(other, "P1", f"1.2.{number}")
        other.once()
        first, second = (each["id"] for each in other.json("sessions")[0])
        code, text = told(capsys, other.config, "validate", first, second)
        assert 3 == code
        assert f"{first}: conflict" in text
        assert f"{second}: conflict" in text
        assert "CONFLICT study-uid-mismatch (XNAT 5), session" in text
        assert "settle it: watcher archive" in text
        assert 2 == len(other.json("validate", first, second)[0])

    def test_what_has_left_the_prearchive_is_refused(self, world):
        """An archived session has nothing to validate: 4."""
        wanted = session(world, "SAID")["id"]
        assert 0 == world.watcher("archive", wanted)[0]
        assert 4 == world.watcher("validate", wanted)[0]


class TestProgram:
    """The program itself."""

    def test_a_reader_that_has_read_enough_is_no_fault(self, world):
        """Output into a pipe that is closed: 0, and no traceback."""
        ours, theirs = os.pipe()
        os.close(ours)
        command = [sys.executable, "-m", "watcher", "sessions", "--config", str(world.config)]
        done = subprocess.run(
            command, stdout=theirs, stderr=subprocess.PIPE, text=True, timeout=PATIENCE
        )
        os.close(theirs)
        assert (0, "") == (done.returncode, done.stderr)

    def test_what_nobody_foresaw_is_one_line(self, world):
        """Standard output on a full disk: 1, one line that calls it a bug, no traceback."""
        command = [sys.executable, "-m", "watcher", "sessions", "--config", str(world.config)]
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=PATIENCE
            )
        assert 1 == done.returncode
        assert done.stderr.startswith("watcher: unexpected OSError")
