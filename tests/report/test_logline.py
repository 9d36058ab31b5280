"""Lines of the log for eyes."""

from datetime import timedelta, timezone

from watcher.report.logline import LONGEST, foreign, moment, rendered

ZONE = timezone(timedelta(hours=2))
LINE = {
    "timestamp": "2026-06-19T22:30:00.123Z",
    "level": "error",
    "event": "session.conflict",
    "message": "Session upload failed",
    "session": "20260619_091425123",
    "label": "two words",
    "key": "session/20260619_091425123",
    "who": "data",
    "empty": "",
    "drops": ["a", "b", "c", "d", "e", "f", "g"],
    "counters": {"mri": {"filed": 1}},
    "findings": [
        {"severity": "CONFLICT", "code": "no-project", "text": "None.", "resolve": ["watcher x"]},
        "stray-file",
    ],
    "trace": ["watcher.daemon:12 run"],
    "hint": "watcher show 20260619_091425123",
}


def test_a_line_is_told_in_local_time_with_what_to_type():
    """Time, level, event, message and fields in one line; findings, trace and hint below it."""
    first, *rest = rendered(LINE, ZONE)
    expected = (
        "2026-06-20 00:30:00.123  ERROR    session.conflict  Session upload failed"
        '  session=20260619_091425123  label="two words"  drops=a,b,c,d,e,+2  counters=mri'
        "  findings=stray-file"
    )
    assert expected == first
    below = [
        "    CONFLICT no-project: None.",
        "      do: watcher x",
        "    at watcher.daemon:12 run",
        "    do: watcher show 20260619_091425123",
    ]
    assert below == rest


def test_a_line_that_lacks_everything_is_told():
    """Fields of other types than ours, or none at all, are no fault."""
    assert ["           a.b  "] == list(rendered({"event": "a.b"}))
    odd = {"event": 1, "timestamp": 9e99, "level": [], "findings": 3, "trace": [None], "hint": {}}
    assert 2 == len(list(rendered(odd)))
    assert "99999-01-01" == moment("99999-01-01")


def test_hostile_text_does_not_reach_the_terminal():
    """Control characters are shown escaped, in values and names, and long ones are cut."""
    told = "\n".join(rendered({"event": "\x1b[2J", "a\x07": "\x1b]0;x\x07", "long": "x" * 9999}))
    assert told.isprintable()
    assert len(told) < LONGEST + 200
    assert r"\x1b[2J\xff" == foreign(b"\x1b[2J\xff")
    assert len(foreign(b"x" * 9999)) < LONGEST + 10
