"""Every finding of spec 10, provoked by real files, and what each command makes of it.

One installation, filled by real runs; every copy of a scene is a session of its own, so that a
command that settles one touches no other. Commands are typed as the findings name them.
"""

import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import provoked as scene
import pytest
from provoked import Copy
from quick import memory
from world import World

from watcher.core.case import CODES

pytestmark = pytest.mark.timeout(900)  # whoever comes first fills the installation

EXTRA = """
[projects.P1]
auto_archive = false
[projects.P2]
auto_archive = false
[projects.ALLOW]
auto_archive = false
allow = ["study-uid-mismatch", "modality-changed", "study-elsewhere"]
[projects.HOLD]
auto_archive = false
hold = ["incomplete", "maybe-incomplete", "label-shared"]
[projects.OVER]
auto_archive = false
overwrite = true
[[drop]]
path = "{laid}"
name = "laid"
settle = "100ms"
layout = "{{project}}/{{session}}"
"""


# -- the table -------------------------------------------------------------------------------------

ARCHIVE = "archive"
FORCE = 'archive --force --reason "..."'
OVERWRITE = 'archive --overwrite --reason "..."'
KEEP = 'archive --keep --reason "..."'
LABEL = "relabel --session L"
MOVE = "move --project P"
SPLIT = "split"
DELETE = 'delete --reason "..."'
SECOND = 'delete --scan 2 --reason "..."'
BUILD = "rebuild"

OPEN, REFUSED = 3, 4  # exit codes: it stays in CONFLICT; the state forbids it
IN, READY, GONE = "ARCHIVED", "READY", "DELETED"


@dataclass(frozen=True)
class Row:
    """What a scene raises, how it reads, and what each command makes of it."""

    scene: Callable[[Copy], Iterator[None]]
    code: str
    xnat: tuple[int, ...]
    severity: str
    text: str
    ways: Mapping[str, int | str]
    resolve: tuple[str, ...] = ()
    scope: str = "session"
    project: str = "P1"


def holding(**settled):
    """Every command of the contract, none of which settles it but those given."""
    found = dict.fromkeys((ARCHIVE, FORCE, OVERWRITE, KEEP, LABEL, MOVE), OPEN)
    found |= {SPLIT: REFUSED, DELETE: GONE}
    return found | {globals()[name]: outcome for name, outcome in settled.items()}


LETS_IN = {ARCHIVE: IN}

ROWS = {
    "session-exists": Row(
        scene.session_exists,
        "session-exists",
        (1,),
        "INFO",
        "Session already exists in the archive: what is new is merged into it",
        LETS_IN,
    ),
    "study-elsewhere": Row(
        scene.study_elsewhere,
        "study-elsewhere",
        (2, 3),
        "CONFLICT",
        "This study is archived already as P1/{label}-HOME",
        {**holding(FORCE=IN, MOVE=READY), "relabel --session {label}-HOME": READY},
        ("relabel --session {label}-HOME", FORCE),
    ),
    "study-elsewhere, other project": Row(
        scene.in_another_project,
        "study-elsewhere",
        (2, 3),
        "WARN",
        "This study is archived already as P2/{label}",
        LETS_IN,
    ),
    "study-elsewhere, allowed": Row(
        scene.study_elsewhere,
        "study-elsewhere",
        (2, 3),
        "WARN",
        "This study is archived already as ALLOW/{label}-HOME",
        LETS_IN,
        project="ALLOW",
    ),
    "subject-changed": Row(
        scene.subject_changed,
        "subject-changed",
        (4,),
        "FAIL",
        "Invalid modification of session subject via archive process.",
        # another label would archive the study twice (`study-elsewhere`), so it is not offered
        {**holding(MOVE=READY), "relabel --subject DOE_JOHN": READY},
        ("relabel --subject DOE_JOHN",),
    ),
    "study-uid-mismatch": Row(
        scene.study_uid_mismatch,
        "study-uid-mismatch",
        (5,),
        "CONFLICT",
        "Invalid modification of session UID via archive process.",
        holding(FORCE=IN, LABEL=READY, MOVE=READY),
        (LABEL, FORCE),
    ),
    "study-uid-mismatch, allowed": Row(
        scene.study_uid_mismatch,
        "study-uid-mismatch",
        (19,),
        "WARN",
        "Invalid modification of session UID via archive process.",
        LETS_IN,
        project="ALLOW",
    ),
    "mixed-studies": Row(
        scene.mixed_studies,
        "mixed-studies",
        (),
        "CONFLICT",
        "Cannot merge sessions with different Study Instance UIDs",
        holding(FORCE=IN, SPLIT=READY),
        (SPLIT, FORCE),
    ),
    "no-project": Row(
        scene.no_project,
        "no-project",
        (6,),
        "FAIL",
        "unable to identify destination project",
        holding(MOVE=READY),
        (MOVE,),
        project="",
    ),
    "schema-invalid": Row(
        scene.schema_invalid,
        "schema-invalid",
        (13,),
        "FAIL",
        "What would be written is not valid: line 10: file_size of file: "
        "has a value that is no xs:long",
        holding(MOVE=READY),
        ("verify {project}/{label}", BUILD),
    ),
    "modality-changed": Row(
        scene.modality_changed,
        "modality-changed",
        (19,),
        "FAIL",
        "Invalid modification of session modality via archive process.  "
        "Data may require a manual merge.",
        holding(LABEL=READY, MOVE=READY),
        (LABEL,),
    ),
    "modality-changed, allowed": Row(
        scene.modality_changed,
        "modality-changed",
        (19,),
        "WARN",
        "Invalid modification of session modality via archive process.  "
        "Data may require a manual merge.",
        LETS_IN,
        project="ALLOW",
    ),
    "modality-changed, same study": Row(
        scene.becomes_pet,
        "modality-changed",
        (19,),
        "INFO",
        "The session becomes PETSession, worked out over all its scans; it was CTSession",
        LETS_IN,
    ),
    "same-instance": Row(
        scene.same_instance,
        "same-instance",
        (14, 16),
        "INFO",
        "1 file held already: what is held stays, the newcomers are dropped",
        LETS_IN,
    ),
    "instance-differs": Row(
        scene.instance_differs,
        "instance-differs",
        (14, 22),
        "CONFLICT",
        "UID conflict detected during archiving",
        {**holding(OVERWRITE=IN, KEEP=IN, MOVE=READY), SECOND: READY},
        (OVERWRITE, KEEP, SECOND),
        scope="scan 2",
    ),
    "instance-differs, overwritten": Row(
        scene.instance_differs,
        "instance-differs",
        (14, 22),
        "WARN",
        "UID conflict detected during archiving: "
        "the newcomers replace them, which go to the history",
        LETS_IN,
        scope="scan 2",
        project="OVER",
    ),
    "instance-other-class": Row(
        scene.instance_other_class,
        "instance-other-class",
        (),
        "WARN",
        "Ignored: 1 file with the SOP UID of another class",
        LETS_IN,
        ("quarantine list --code other-class",),
    ),
    "duplicate-in-session": Row(
        scene.duplicate_in_session,
        "duplicate-in-session",
        (22,),
        "CONFLICT",
        "1 file with the UIDs of another in this session",
        {**holding(OVERWRITE=IN, KEEP=IN), SECOND: READY},
        (OVERWRITE, KEEP, SECOND),
        scope="scan 2",
    ),
    "scan-number-taken": Row(
        scene.scan_number_taken,
        "scan-number-taken",
        (17,),
        "INFO",
        "Session already contains a scan (1) with the same number, but a different UID."
        " - New scan will be renamed during archive: 1-CT1",
        LETS_IN,
        scope="scan 1",
    ),
    "scan-uid-elsewhere": Row(
        scene.scan_uid_elsewhere,
        "scan-uid-elsewhere",
        (18,),
        "INFO",
        "Session already contains a scan with the same UID, but a different number (9):"
        " it joins scan 1",
        LETS_IN,
        scope="scan 9",
    ),
    "stray-file": Row(
        scene.stray_file,
        "stray-file",
        (20,),
        "WARN",
        "1 file in scan folders that are no instances: to quarantine",
        LETS_IN,
        ("quarantine list --code stray-file",),
    ),
    "catalog-missing": Row(
        scene.catalog_missing,
        "catalog-missing",
        (21,),
        "WARN",
        "The catalog of archived scan 1, DICOM, is missing: it is made again from 1 file first",
        LETS_IN,
        scope="scan 1",
    ),
    "unreadable-file": Row(
        scene.unreadable_file,
        "unreadable-file",
        (),
        "FAIL",
        "1 filed file can't be read any more",
        {**holding(), SECOND: READY},
        (SECOND,),
        scope="scan 2",
    ),
    "label-shared": Row(
        scene.label_shared,
        "label-shared",
        (),
        "WARN",
        "Waiting sessions with this label and another study: {other}",
        {**LETS_IN, LABEL: READY},
        (LABEL,),
    ),
    "label-shared, held": Row(
        scene.label_shared,
        "label-shared",
        (),
        "CONFLICT",
        "Waiting sessions with this label and another study: {other}",
        {ARCHIVE: OPEN, FORCE: IN, LABEL: READY},
        (FORCE, LABEL),
        project="HOLD",
    ),
    "incomplete": Row(
        scene.incomplete,
        "incomplete",
        (),
        "WARN",
        "1 file of its folders in the drop never became whole",
        LETS_IN,
    ),
    "incomplete, held": Row(
        scene.incomplete,
        "incomplete",
        (),
        "CONFLICT",
        "1 file of its folders in the drop never became whole",
        {ARCHIVE: OPEN, FORCE: IN},
        (FORCE,),
        project="HOLD",
    ),
    "maybe-incomplete": Row(
        scene.maybe_incomplete,
        "maybe-incomplete",
        (),
        "INFO",
        "Images seem to be missing in scan 1: InstanceNumber 3 (4 files expected)",
        LETS_IN,
    ),
    "maybe-incomplete, held": Row(
        scene.maybe_incomplete,
        "maybe-incomplete",
        (),
        "CONFLICT",
        "Images seem to be missing in scan 1: InstanceNumber 3 (4 files expected)",
        {ARCHIVE: OPEN, FORCE: IN},
        (FORCE,),
        project="HOLD",
    ),
}
CASES = [(name, words) for name, row in ROWS.items() for words in row.ways]
SPARE = [
    ("schema-invalid", "mended"),
    ("instance-differs", "partly"),
    ("instance-other-class", "aside"),
    ("stray-file", "aside"),
]  # sessions for the tests below the table
CHANGELESS = frozenset({ARCHIVE, FORCE, OVERWRITE, KEEP, SPLIT})  # where they don't settle it


# -- the installation ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    """The session of each case, all of them waiting; commands that change nothing share one."""
    with memory(tmp_path_factory.mktemp("findings")) as base:
        (base / "laid").mkdir()
        extra = EXTRA.format(laid=base / "laid")
        world = World(base, project=None, drop_lines=['stuck_after = "300ms"'], extra=extra)
        made = {}
        for case in (*CASES, *SPARE):
            number = len(made) + 1
            fresh = Copy(world, f"C{number}", f"1.2.{number}", ROWS[case[0]].project)
            made.setdefault(_shared(*case), fresh)
        _fill(world, made)
        yield {case: made[_shared(*case)] for case in (*CASES, *SPARE)}


def _shared(name, words):
    settles = isinstance(ROWS[name].ways.get(words), str)
    return name, "" if words in CHANGELESS and not settles else words


def _fill(world, made):
    acts = [ROWS[name].scene(copy) for (name, _), copy in made.items()]
    for act in acts:
        next(act)
    assert 0 == world.once()[0]
    assert 0 == world.watcher("archive", "--status", "READY", "--yes")[0]
    for act in acts:
        next(act, None)
    code, said = world.once()
    assert code == 3
    by_label = {copy.label: copy for copy in made.values()}
    for each in world.json("sessions")[0]:  # of two with one label, the last
        by_label[each["label"]].id = each["id"]
    for act in acts:
        next(act, None)
    torn = {f"{copy.label}/1" for (name, _), copy in made.items() if _is_torn(name)}
    with world.daemon() as daemon:  # what a slow `--once` has said is not said again
        daemon.wait_until(lambda: torn == _stuck([*said, *daemon.events]))
        daemon.stop()
    world.json("sessions")  # folds in what is left in SQLite's log by a daemon that was too slow
    before = picture(world.base)
    documents, code = world.json("validate", *(copy.id for copy in made.values()))
    assert (OPEN, before) == (code, picture(world.base)), "validate wrote something"
    for copy, document in zip(made.values(), documents, strict=True):
        copy.found = document


def _is_torn(name):
    return ROWS[name].scene is scene.incomplete


def _stuck(events):
    """The files said to be stuck and not released: a slow run says it of files it takes later."""
    found = set()
    for each in events:
        if each["event"] == "file.stuck":
            found.add(each["path"])
        elif each["event"] == "file.released":
            found.discard(each["path"])
    return found


def picture(base):
    """Everything below: bytes and times; but SQLite's own two files, and the folder they are in."""
    found = {}
    for path in sorted(base.rglob("*")):
        if path.name.endswith(("-wal", "-shm")) or path.name == "state":
            continue
        status = path.lstat()
        data = path.read_bytes() if path.is_file() else b""
        found[str(path)] = (data, status.st_mtime_ns, status.st_ino)
    return found


# -- what must hold --------------------------------------------------------------------------------


def test_every_code_of_the_contract_is_in_the_table():
    """No code without a row, and none that the contract does not know."""
    assert set(CODES) == {row.code for row in ROWS.values()}


@pytest.mark.parametrize("name", ROWS)
def test_it_says(copies, name):
    """Severity, scope, XNAT's numbers, the exact text, and the commands that settle it."""
    row = ROWS[name]
    copy = copies[name, ARCHIVE]
    (found,) = [each for each in copy.found["findings"] if each["code"] == row.code]
    text = row.text.format(label=copy.label, other=found["text"].rpartition(" ")[2])
    expected = (row.severity, row.scope, list(row.xnat), text)
    assert expected == (found["severity"], found["scope"], found["xnat"], found["text"])
    assert [_shown(copy, words) for words in row.resolve] == found["resolve"]
    blocking = {"CONFLICT": "conflict", "FAIL": "fail"}
    assert blocking.get(row.severity, "ok") == copy.found["verdict"]


def _shown(copy, words):
    verb, _, rest = words.format(label=copy.label, project=copy.project).partition(" ")
    own = "" if verb in {"quarantine", "verify"} else f" {copy.id}"
    return f"watcher {verb}{own} {rest}".rstrip()


@pytest.mark.parametrize(("name", "words"), CASES, ids=str)
def test_what_a_command_makes_of_it(copies, name, words):
    """Refused, held, or settled: as the table says."""
    copy = copies[name, words]
    code, status = run(copy, words)
    expected = ROWS[name].ways[words]
    assert ({OPEN: "CONFLICT", REFUSED: ""}.get(expected, expected)) == status
    assert (expected if isinstance(expected, int) else 0) == code


def run(copy, words):
    """A command typed: its exit code, and how the session ended; empty where it was refused."""
    typed = copy.typed(words.format(label=copy.label))
    code, text = copy.world.watcher(*typed, "--json")
    return code, "+".join(sorted({each["status"] for each in json.loads(text or "[]")}))


def test_what_was_mended_by_hand_is_settled_by_rebuild(copies):
    """`schema-invalid`: the catalog tells no lies any more, `rebuild` typed as it stands: READY."""
    copy = copies["schema-invalid", "mended"]
    assert (OPEN, "CONFLICT") == run(copy, BUILD)
    scene.spoil(copy, scene.LIES, "")
    assert (0, READY) == run(copy, BUILD)


def test_what_is_held_can_be_settled_after_the_rest_went_in(copies):
    """The held scan alone is left; the command named for it deletes it, and the session with it."""
    copy = copies["instance-differs", "partly"]
    assert (OPEN, "CONFLICT") == run(copy, ARCHIVE)
    assert ["2", "3"] == sorted(path.name for path in (copy.shelf / "SCANS").iterdir())
    (found,) = (
        each for each in copy.world.json("validate", copy.id)[0]["findings"] if each["resolve"]
    )
    verb, _, *rest = shlex.split(found["resolve"][-1])[1:]
    assert (0, GONE) == run(copy, shlex.join([verb, *rest]))


@pytest.mark.parametrize("name", ["instance-other-class", "stray-file"])
def test_what_is_set_aside_is_found_by_the_command_named(copies, name):
    """`quarantine list --code ...`, typed as it stands, lists it; it leaves no other trace."""
    copy = copies[name, "aside"]
    assert (0, IN) == run(copy, ARCHIVE)
    (words,) = ROWS[name].resolve
    listed, code = copy.world.json(*words.split())
    assert 0 == code
    assert copy.id in json.dumps(listed)
    assert "<xnat:CTSession" in Path(f"{copy.shelf}.xml").read_text()
