"""What the README promises is what there is."""

import re
from pathlib import Path

import pytest
from handbook import events, put_into

from watcher.cli import COMMANDS
from watcher.core.events import EVENTS
from watcher.report import metrics
from watcher.settings import parse

README = Path(__file__).parents[1] / "README.md"
TWO_COMMANDS = """
```
python3 -m venv .venv && .venv/bin/pip install -q . && .venv/bin/watcher demo
python3 -m venv .venv && .venv/bin/pip install -q '.[test]' && .venv/bin/pytest
```
"""


@pytest.fixture(scope="module")
def text():
    return README.read_text(encoding="utf-8")


def test_the_first_screen_has_the_two_commands(text):
    """The first code a reader meets is what CI runs on a clean copy."""
    assert text.index("```") == text.index(TWO_COMMANDS) + 1


def test_every_configuration_in_it_loads(text):
    """Each block of TOML is a whole configuration."""
    blocks = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    assert blocks
    for block in blocks:
        assert parse(block, "/etc/watcher/watcher.toml").drops


def test_the_table_of_events_is_the_catalogue_s(text):
    """Every warning and error of the catalogue, with its level, who acts, what to do, its end."""
    rows = re.findall(
        r"^\| `([a-z.]+)` \| (warning|error) \| (\w+) \| (.*?) \| ?(.*?) ?\|$", text, re.MULTILINE
    )
    expected = {
        (one.name, one.level, one.who, one.todo, ", ".join(f"`{n}`" for n in one.cleared_by))
        for one in EVENTS.values()
        if one.level in {"warning", "error"}
    }
    assert expected == set(rows)


def test_the_tables_of_events_are_as_they_are_made(text):
    """Every event of the catalogue: `python tests/handbook.py` writes them."""
    assert events() in text
    assert text == put_into(text)
    assert set(EVENTS) <= set(re.findall(r"^\| `([a-z.]+)` \|", text, re.MULTILINE))


def test_it_names_every_command(text):
    """The list of commands is the program's."""
    section = text.partition("## Commands and exit codes\n")[2].partition("Each has")[0]
    named = set(re.findall(r"`([a-z]+)`", section))
    assert set(COMMANDS) == named


def test_it_names_every_metric(text):
    """The table of metrics is what is written, with the labels of each."""
    found = re.findall(r"`(watcher_[a-z_]+)(?:\{([a-z,]+)\})?`", text)
    expected = {(name, ",".join(labels)) for name, labels in metrics.names().items()}
    assert expected == set(found)


def test_every_module_is_on_the_map(text):
    """Whoever looks for what a module does finds it; commands are one file each."""
    table = text.partition("## The map of the code\n")[2].partition("\n`core` has")[0]
    named = set(re.findall(r"`([a-z_.]+)`", table))
    there = {
        path.stem
        for path in (README.parent / "watcher").rglob("*.py")
        if "commands" not in path.parts and not path.stem.startswith("__")
    }
    assert set() == there - named
