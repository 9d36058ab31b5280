"""`watcher log`."""

import sys
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal

from cyclopts import Parameter

from watcher.commands import select
from watcher.commands.loglines import Line, Shown, shown_on
from watcher.commands.options import PLAIN, Common
from watcher.core.errors import ConfigurationError
from watcher.core.events import EVENTS
from watcher.core.notation import parse_duration
from watcher.core.pick import is_id
from watcher.core.sieve import Sieve, parsed
from watcher.io import logfiles

Level = Literal["debug", "info", "warning", "error"]
LOOK: Final = 0.25  # seconds between two looks at a file that is followed
BEFORE: Final = 10  # lines shown first of one that is followed
_JOURNAL: Final = "journalctl -u watcher -o cat | watcher log -"


def log(
    source: Annotated[
        str, Parameter(help="`-`: lines from standard input.", allow_leading_hyphen=True)
    ] = "",
    /,
    *,
    follow: Annotated[bool, Parameter(help="Go on with what is added.", negative="")] = False,
    session: Annotated[str, Parameter(help="Lines of this session only.")] = "",
    event: Annotated[str, Parameter(help="Of this event, or of a family: session.")] = "",
    since: Annotated[str, Parameter(help="Not older: 2h, 09:30, 2026-06-19T09:30.")] = "",
    level: Annotated[Level, Parameter(help="This level and those above it.")] = "debug",
    common: Common = PLAIN,
) -> int:
    """What the log says, for eyes: `log.file` and those rotated before it, in local time.

    On a terminal labels stand in place of their coded values. Without `log.file` the journal has
    the lines: journalctl -u watcher -o cat | watcher log -

    Example: watcher log --follow --level warning
    """
    if source not in {"", "-"}:
        raise ConfigurationError(f"nothing is read from {source!r}", hint="watcher log --help")
    sieve = Sieve(_session(session, common), _event(event), _since(since), level)
    path = "" if source else _path(common)
    with shown_on(common, follow=follow) as shown:
        if source:
            shown.show_all(_sifted(logfiles.lines_from(sys.stdin), sieve))
        elif follow:
            _follow(path, sieve, shown)
        else:
            shown.show_all(_sifted(_all(path, sieve), sieve))
    return 0


# -- what is asked for -----------------------------------------------------------------------------


def _path(common: Common) -> str:
    path = common.settings().log.file
    if not path:
        raise ConfigurationError("log.file is not set: the journal has the lines", hint=_JOURNAL)
    return path


def _session(text: str, common: Common) -> str:
    if not text or is_id(text):
        return text
    with common.parts() as parts:
        return select.session(parts, text).id


def _event(text: str) -> str:
    name = text.removesuffix("*").removesuffix(".")
    if name and not any(each == name or each.startswith(f"{name}.") for each in EVENTS):
        hint = "watcher explain lists them"
        raise ConfigurationError(f"the log has no event {text!r}", hint=hint)
    return name


def _since(text: str) -> str:
    """As the log writes moments; empty for none."""
    if not text:
        return ""
    now = datetime.now().astimezone()
    try:
        then = now - timedelta(seconds=parse_duration(text))
    except ValueError:
        then = _moment(text, now)
    return then.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _moment(text: str, now: datetime) -> datetime:
    day = now.date().isoformat()
    for each in (text, f"{day}T{text}"):  # a time without a day is today's
        try:
            return datetime.fromisoformat(each)
        except ValueError:
            continue
    hint = 'a duration ("2h"), a time ("09:30") or a moment ("2026-06-19T09:30")'
    raise ConfigurationError(f"--since {text!r} is none of these", hint=hint)


# -- the lines -------------------------------------------------------------------------------------


def _sifted(lines: Iterable[bytes], sieve: Sieve) -> Iterator[Line]:
    for each in lines:
        line = parsed(each)
        if line is None:
            if each.strip() and sieve.is_open():
                yield each
        elif sieve.passes(line):
            yield line


def _all(path: str, sieve: Sieve) -> Iterator[bytes]:
    """The lines there are, of the rotated files too."""
    with closing(logfiles.Tail(path)) as tail:
        yield from _begun(tail, sieve)
        yield from tail.last()


def _begun(tail: logfiles.Tail, sieve: Sieve) -> Iterator[bytes]:
    """The same, as far as they are whole; the tail goes on from there."""
    since = datetime.fromisoformat(sieve.since).timestamp() if sieve.since else 0.0
    first = tail.open()
    yield from logfiles.older(tail.path, since, first)
    yield from tail.more()


def _follow(path: str, sieve: Sieve, shown: Shown) -> None:
    with closing(logfiles.Tail(path)) as tail:
        shown.show_all(deque(_sifted(_begun(tail, sieve), sieve), maxlen=BEFORE))
        while True:
            logfiles.pause(sys.stdout, LOOK)
            shown.show_all(_sifted(tail.more(), sieve))
