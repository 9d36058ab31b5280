"""Which lines of the log are wanted."""

import pytest

from watcher.core.sieve import Sieve, parsed

LINE = {
    "timestamp": "2026-06-19T12:00:00.123Z",
    "level": "warning",
    "event": "session.status",
    "session": "20260619_091425123",
}


@pytest.mark.parametrize(
    ("sieve", "passes"),
    [
        (Sieve(), True),
        (Sieve(level="warning"), True),
        (Sieve(level="error"), False),
        (Sieve(session="20260619_091425123"), True),
        (Sieve(session="20260619_091425124"), False),
        (Sieve(event="session.status"), True),
        (Sieve(event="session"), True),
        (Sieve(event="sess"), False),
        (Sieve(since="2026-06-19T12:00:00.123Z"), True),
        (Sieve(since="2026-06-19T12:00:00.124Z"), False),
        (Sieve(session="20260619_091425123", event="file"), False),
    ],
    ids=str,
)
def test_a_line_passes_where_everything_fits(sieve, passes):
    """Session, event or its family, level and time are all asked."""
    assert passes == sieve.passes(LINE)
    assert (sieve == Sieve()) == sieve.is_open()


def test_a_level_that_is_not_known_is_shown():
    """A line of a later version may be an error."""
    assert Sieve(level="error").passes({**LINE, "level": "fatal"})


@pytest.mark.parametrize(
    "line",
    [
        *(b"", b"Traceback (most recent call last):", b'{"event": "a', b"[1]", b'{"event": 1}'),
        *(b"{}", b'{"event": "a", "b": ' + b"[" * 100_000, b"\xff{}", b"      {}"),
    ],
)
def test_what_is_no_line_of_ours(line):
    """Torn lines, other programs' and bytes that are no text are none."""
    assert parsed(line) is None


def test_a_line_of_ours_with_a_priority_before_it():
    """As the journal gets it, and as `log.file` has it."""
    assert {"event": "a.b"} == parsed(b'{"event": "a.b"}') == parsed(b'<6>{"event": "a.b"}')
