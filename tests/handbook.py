"""The catalogue of events as the README has it: `.venv/bin/python tests/handbook.py` puts it there.

Two tables: what may need somebody, with what to do; then what only tells.
"""

from pathlib import Path

from watcher.core.events import EVENTS, LEVELS, VERSION

README = Path(__file__).parents[1] / "README.md"
BEGIN = "<!-- events: made by `python tests/handbook.py` -->"
END = "<!-- end of events -->"


def events():
    """The section, from its first mark to its last."""
    alerts = sorted(filter(is_alert, EVENTS.values()), key=lambda one: -LEVELS[one.level])
    others = [one for one in EVENTS.values() if not is_alert(one)]
    lines = [
        BEGIN,
        "",
        *table(("event", "level", "who", "what to do", "ends with"), map(alert, alerts)),
        "",
        f"The others; all of them together are version {VERSION} of the catalogue:",
        "",
        *table(("event", "level", "what it says"), map(other, others)),
        "",
        END,
    ]
    return "\n".join(lines)


def is_alert(one):
    return LEVELS[one.level] >= LEVELS["warning"]


def alert(one):
    ends = ", ".join(f"`{name}`" for name in one.cleared_by)
    return (f"`{one.name}`", one.level, one.who, one.todo, ends)


def other(one):
    return (f"`{one.name}`", one.level, f"{one.message}. {one.meaning}")


def table(head, rows):
    yield row(head)
    yield "|" + "---|" * len(head)
    yield from map(row, rows)


def row(cells):
    return "| " + " | ".join(cells).rstrip() + " |"


def put_into(text):
    """The page with its section made anew."""
    before, rest = text.split(BEGIN, 1)
    return before + events() + rest.split(END, 1)[1]


if __name__ == "__main__":
    README.write_text(put_into(README.read_text(encoding="utf-8")), encoding="utf-8")
