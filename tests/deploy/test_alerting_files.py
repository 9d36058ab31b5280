"""deploy/alerting/ names nothing that the program does not write, and all that it raises."""

import importlib.util
import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from world import World

from watcher.cli import COMMANDS
from watcher.core.events import EVENTS
from watcher.core.fields import COMMON
from watcher.report import metrics

ALERTING = Path(__file__).parents[2] / "deploy" / "alerting"
CONDITIONS = {name: each for name, each in EVENTS.items() if each.cleared_by}
ENDS = {name: each for name, each in EVENTS.items() if each.clears}
RULE = re.compile(r"- alert: (\w+)\n(.*?)(?=\n +- alert:|\n  - name:|\Z)", re.DOTALL)
METRIC = re.compile(r"\bwatcher_\w+")
SERVED = re.compile(r"^# TYPE (\w+)", re.MULTILINE)
EVENT = re.compile(r"\b(?:session|reader|storage|drop|archive|file|quarantine)\[[.]\]\w+")
COMMAND = re.compile(r"^ +command: (\w.*)$", re.MULTILINE)
TABLE = re.compile(r"^ends = ({.*?^})", re.DOTALL | re.MULTILINE)
PICTURE = {
    "version": "1",
    "every": 60.0,
    "heartbeat": None,
    "started": None,
    "lost": 0,
    "sessions": {},
    "oldest": {},
    "drops": [],
    "stores": [],
    "open_conditions": {},
    "quarantine": [],
    "more_quarantine": 0,
}


def loaded():
    """The program that rsyslog runs, as a module."""
    found = importlib.util.spec_from_file_location("alerting", ALERTING / "watcher_alert.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


program = loaded()


def rules():
    """Each rule for Prometheus by its name, as its text."""
    return dict(RULE.findall((ALERTING / "watcher.rules.yml").read_text()))


def word(text, name):
    """The value of one key in the text of a rule."""
    return re.search(rf'\b{name}[:=] ?"?([^",}} ]+)', text)[1]


def written():
    """The names of all metrics, as they are asked for."""
    return set(SERVED.findall(metrics.text(PICTURE).decode()))


@pytest.mark.parametrize("name", ["watcher.rules.yml", "watcher.rules.test.yml"])
def test_rules_name_metrics_that_are_written(name):
    """A rule on a metric that nobody writes never fires, and nobody notices."""
    named = set(METRIC.findall((ALERTING / name).read_text()))
    assert set() == named - written()
    assert len(named) > 6


def test_the_dashboard_names_metrics_that_are_written():
    """Every panel asks for metrics of ours, and every metric has its panel."""
    board = json.loads((ALERTING / "grafana-dashboard.json").read_text())
    asked = [each["expr"] for panel in board["panels"] for each in panel["targets"]]
    named = {name for each in asked for name in METRIC.findall(each)}
    assert all(METRIC.search(each) for each in asked)
    assert {"watcher_heartbeat_interval_seconds"} == written() - named
    assert set() == named - written()


def test_each_condition_has_its_rule():
    """Name, level and who acts are those of the catalogue; nothing else is called a condition."""
    found = rules()
    for name, event in CONDITIONS.items():
        rule = found[program.alert_name(name)]
        said = tuple(word(rule, each) for each in ("event", "severity", "who"))
        assert (name, event.level, event.who) == said


def test_each_rule_says_who_acts_and_what_to_type():
    """No alert without a receiver, a key to group by and a command."""
    for name, rule in rules().items():
        shared = "*alive" in rule
        labels = [] if shared else ["service", "source", "severity", "who", "key"]
        for each in (*labels, "summary", "description", "command"):
            assert f"{each}:" in rule, (name, each)


def test_only_what_the_log_tells_too_bears_its_event():
    """An alert of the log silences those of the metrics with its event: no other may have one."""
    events = {name: re.search(r"\bevent[:=] ?\"?([a-z.]+)", rule) for name, rule in rules().items()}
    assert events["WatcherWatchdog"] is None
    for found in filter(None, events.values()):
        assert EVENTS[found[1]].level in {"warning", "error"} or found[1] == program.BEAT


def test_what_is_to_be_typed_can_be(tmp_path):
    """Each command of a rule is one of ours, taken as it stands: nothing is to be filled in."""
    texts = [(ALERTING / name).read_text() for name in ("watcher.rules.yml", "loki-rules.yml")]
    lines = [each for text in texts for each in COMMAND.findall(text)]
    typed = {tuple(shlex.split(each)) for line in lines for each in line.split(";")}
    ours = {tuple(words) for first, *words in typed if first == "watcher"}
    assert ours
    assert {"watcher", "systemctl", "journalctl"} >= {each[0] for each in typed}
    world = World(tmp_path, extra=f'file = "{tmp_path / "watcher.jsonl"}"')
    world.once()
    for words in ours:
        assert world.watcher(*words)[0] != 2, (words, world.errors)


def test_what_descriptions_name_is_there():
    """Commands that are named in passing are commands of the program."""
    for name in ("watcher.rules.yml", "loki-rules.yml", "README.md"):
        text = (ALERTING / name).read_text()
        assert set(re.findall(r"`watcher (\w+)", text)) <= set(COMMANDS), name


def test_the_page_names_what_lies_beside_it():
    """Every file has its place, and every alert that is spoken of can be raised."""
    text = (ALERTING / "README.md").read_text()
    there = {path.name for path in ALERTING.iterdir() if path.is_file()}
    listed = re.findall(r"^\| `([\w.-]+\.\w+)` \|", text, re.MULTILINE)
    assert there - {"README.md", "watcher.rules.test.yml"} == set(listed)
    spoken = set(re.findall(r"`(Watcher[A-Z]\w+)`", text))
    raised = {program.alert_name(name) for name in EVENTS}
    loki = set(re.findall(r"- alert: (\w+)", (ALERTING / "loki-rules.yml").read_text()))
    assert set() == spoken - raised - loki - set(rules())


def test_one_installation_has_one_name():
    """Alerts by the log and by the metrics are one message only where their `host` is the same."""
    names = {
        "prometheus.yml": r"^ +labels: {host: (\w+)}",
        "rsyslog-watcher.conf": r"--host (\w+)",
        "vector.toml": r'^\.host = "(\w+)"',
    }
    found = {
        re.search(how, (ALERTING / n).read_text(), re.MULTILINE)[1] for n, how in names.items()
    }
    assert {"imaging"} == found


def test_the_program_reads_fields_that_lines_have():
    """A field that the catalogue lacks would never be told."""
    fields = set(COMMON).union(*(each.fields for each in EVENTS.values()))
    assert {*program.LABELS, *program.TEXTS, "findings", "conditions"} <= fields
    loki = (ALERTING / "loki-rules.yml").read_text()
    asked = set(re.findall(r'\b\w+="(\w+)"', loki)) - {"watcher"}
    assert asked <= fields | {"event", "level"}


def test_loki_looks_for_every_condition_and_every_end():
    """Of its three lists of events the first and the last raise, the second ends."""
    lists = [set(EVENT.findall(line)) for line in _lines_of_events("loki-rules.yml")]
    plain = [{each.replace("[.]", ".") for each in found} for found in lists]
    assert [set(CONDITIONS), set(ENDS), set(CONDITIONS)] == plain


def _lines_of_events(name):
    return [line for line in (ALERTING / name).read_text().splitlines() if "event=~" in line]


def test_vector_knows_what_each_event_ends():
    """Its table is the catalogue's, as far as errors go."""
    source = tomllib.loads((ALERTING / "vector.toml").read_text())["transforms"]
    table = TABLE.search(source["watcher_alerts"]["source"])[1]
    ended = {
        name: [[each, EVENTS[each].who, "error"] for each in event.clears]
        for name, event in ENDS.items()
        if all(EVENTS[each].level == "error" for each in event.clears)
    }
    assert ended == json.loads(table)


def test_an_alert_names_what_the_line_names():
    """Session, key and who are labels; what was found and what to type are told beside them."""
    line = {
        "timestamp": "2026-06-19T09:14:25.123Z",
        "level": "error",
        "event": "session.conflict",
        "message": "Session upload failed",
        "key": "session/20260619_091425123",
        "session": "20260619_091425123",
        "who": "data",
        "hint": "watcher show 20260619_091425123",
        "findings": [{"code": "study-uid-mismatch", "text": "Invalid modification"}],
    }
    found = program.alert_of(line, "here")
    assert {
        "alertname": "WatcherSessionConflict",
        "event": "session.conflict",
        "key": "session/20260619_091425123",
        "severity": "error",
        "service": "watcher",
        "source": "log",
        "host": "here",
        "who": "data",
        "session": "20260619_091425123",
    } == found["labels"]
    assert {
        "summary": "Session upload failed 20260619_091425123",
        "description": "study-uid-mismatch: Invalid modification",
        "command": "watcher show 20260619_091425123",
    } == found["annotations"]


def test_a_line_that_was_cut_off_is_read_as_far_as_it_goes():
    """A line is cut at rsyslog's maxMessageSize: what stands before is read all the same."""
    line = '{"timestamp": "T", "level": "error", "event": "session.conflict", "key": "session/1", '
    assert {
        "timestamp": "T",
        "level": "error",
        "event": "session.conflict",
        "key": "session/1",
    } == (program.parsed(line + '"findings": [{"key": "other", "text": "a \\"quo'))
    assert {} == program.parsed("no line of ours") == program.parsed("[1, 2]")
