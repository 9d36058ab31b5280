"""What the pages for administrators promise: an entry for whatever may be told, ending in what to
type, and nothing in them that the program or the repository does not have.
"""

import os
import re
import shlex
from pathlib import Path

import pytest
from cyclopts import CycloptsError, MissingArgumentError
from handbook import is_alert
from makers import make_dicom
from world import World

from watcher.cli import application
from watcher.core.events import EVENTS
from watcher.core.session import Status

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PAGES = sorted(DEPLOY.rglob("*.md"))
GONE = {Status.ARCHIVED, Status.DELETED}  # no longer in the prearchive: nothing waits
FENCED = re.compile(r"^```(?:sh|console)?(?: until=\S+)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ENTRY = re.compile(r"^### ([^\n]+)\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
EVENT = re.compile(
    r"\b(?:daemon|log|session|file|reader|storage|drop|quarantine|archive)\.[a-z]+\b"
)
BLOCKS = re.MULTILINE | re.DOTALL
# At the beginning, after another command, or as another user's.
TYPED = re.compile(r"(?:^|\$\(|[|;&] |\$ |/bin/|-u watcher (?:-- )?)watcher (?=[a-z-])")
CODES = "Exit codes of the service"
ENDS = re.compile(r"[|;&<>)]|\$\(")  # where a shell's command ends


def page(path=DEPLOY / "README.md"):
    return path.read_text(encoding="utf-8")


def entries():
    """The runbook: its entries by what each is of, several of which may share one."""
    book = page().partition("\n## Runbook\n")[2]
    return {
        name.strip("`"): text for each, text in ENTRY.findall(book) for name in each.split(", ")
    }


def test_every_alert_and_status_has_an_entry():
    """Each event of level warning or error, each status a session waits in, each rule's alert."""
    events = {one.name for one in EVENTS.values() if is_alert(one)}
    statuses = {status.value for status in Status} - GONE
    rules = page(DEPLOY / "alerting" / "watcher.rules.yml")
    alerts = set(re.findall(r"alert: (\w+)", rules)) - {"WatcherWatchdog"}
    own = {"Watcher" + "".join(part.title() for part in name.split(".")) for name in events}
    expected = events | statuses | (alerts - own) | {"daemon.heartbeat"}
    assert expected == entries().keys() - {CODES}


def test_every_entry_ends_in_one_command():
    """The last of each is a block of one line: what to type."""
    ends = {name: FENCED.findall(text)[-1:] for name, text in entries().items() if name != CODES}
    expected = {name: f"{line.splitlines()[0]}\n" for name, (line,) in ends.items()}
    assert expected == {name: line for name, (line,) in ends.items()}
    assert [] == [name for name in ends if not entries()[name].rstrip().endswith("\n```")]


def test_what_an_entry_ends_in_can_be_typed(tmp_path):
    """With a conflict, a torn file and a quarantined one there, each command does what it says."""
    world = World(tmp_path, extra=f'file = "{tmp_path / "log"}"')
    make_dicom(world.drop / "first", study="1.2.3", series="1.2.3.1", sop="1.2.3.1.1")
    # of the same patient, and so of the same label
    whole = make_dicom(world.drop / "second", study="1.2.4", series="1.2.4.1", sop="1.2.4.1.1")
    (world.drop / "torn").write_bytes(Path(whole).read_bytes()[:-1])
    make_dicom(world.drop / "bad", study="1.2.x", series="1.2.6.1", sop="1.2.6.1.1")
    code, _ = world.once()
    (session,) = (each["id"] for each in world.json("sessions", "--status", "CONFLICT")[0])
    (entry,) = (each["id"] for each in world.json("quarantine", "list")[0])
    ((label, _),) = world.archived()
    known = {"ID": session, "FILE": str(world.drop / "torn"), "PROJECT/LABEL": f"P1/{label}"}
    codes = {}
    for name, text in entries().items():
        last = (FENCED.findall(text) or [""])[-1]
        if last.startswith("watcher "):
            known["ID"] = entry if name.startswith("file.") else session
            words = [known.get(word, word) for word in shlex.split(last)[1:]]
            codes[name] = world.watcher(*words)[0]
    open_ = ("session.error", "RECEIVING", "READY")  # built or archived, it is in conflict still
    assert (3, dict.fromkeys(codes, 0) | dict.fromkeys(open_, 3)) == (code, codes)


def commands(text):
    """Each `watcher …` that a page tells to type, in blocks and within sentences."""
    code = "\n".join(FENCED.findall(text)).replace("\\\n", " ")
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=BLOCKS))
    for line in (*code.splitlines(), *spans):
        for found in TYPED.finditer(line):
            yield ENDS.split(line[found.end() :], maxsplit=1)[0], line in spans


@pytest.mark.parametrize(
    "path", [*PAGES, ROOT / "README.md"], ids=lambda each: str(each.relative_to(ROOT))
)
def test_every_command_of_the_pages_parses(path):
    """The command exists, and so does each option; what it is given is what it takes."""
    for text, is_named in commands(page(path)):
        words = shlex.split(text, comments=True)
        try:
            app = application(words[0])
            _, given, _ = app.parse_args(words, exit_on_error=False, print_error=False)
            taken = [one for one in given.arguments.values() if str(one).startswith("--")]
            assert [] == taken, text  # an option that does not exist, taken for a value
        except MissingArgumentError:
            assert is_named, text  # a sentence may name a command without what it is given
        except CycloptsError as error:
            pytest.fail(f"watcher {shlex.join(words)}: {error}")


@pytest.mark.parametrize("path", PAGES, ids=lambda each: str(each.relative_to(DEPLOY)))
def test_every_file_that_the_pages_name_is_there(path):
    """Links, and what is copied from `deploy/`."""
    text = page(path)
    links = {link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link}
    copied = {name.rstrip(".") for name in re.findall(r"(?<![\w/])deploy/[\w@./-]+", text)}
    named = {path.parent / link for link in links} | {ROOT / name for name in copied}
    assert [] == sorted(str(each) for each in named if not os.path.exists(each))


@pytest.mark.parametrize("path", PAGES, ids=lambda each: str(each.relative_to(DEPLOY)))
def test_the_pages_name_no_event_that_does_not_exist(path):
    """A word in code that looks like an event is one of the catalogue, or a key of [log]."""
    code = re.findall(r"`([^`\n]+)`", page(path))
    named = {name for text in code for name in EVENT.findall(text) if text == name}
    assert set() == named - EVENTS.keys() - {"storage.md", "log.file", "log.key", "storage.reserve"}
