"""Lines of the log as `watcher log` prints them: for eyes, or as JSON."""

import json
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

from watcher.assembly import coder_of
from watcher.commands import coded
from watcher.commands.options import Common
from watcher.commands.output import console
from watcher.core.coding import CODED
from watcher.core.errors import WatcherError
from watcher.report import logline

Line: TypeAlias = "dict[str, Any] | bytes"
"""One of ours, or what stands there otherwise."""
AGAIN: Final = 5.0  # seconds until values that are not known are looked for once more
_STYLES: Final = {"error": "bold red", "warning": "yellow", "debug": "dim"}


class Shown(ABC):
    """Lines on standard output."""

    def show_all(self, lines: Iterable[Line]) -> None:
        """Print them."""
        for line in lines:
            self.show(line)
        sys.stdout.flush()

    @abstractmethod
    def show(self, line: Line) -> None:
        """Print one."""


class _Eyes(Shown):
    def __init__(self, put: Callable[[str, str], None]) -> None:
        self._put = put

    def show(self, line: Line) -> None:
        if isinstance(line, bytes):
            self._put(logline.foreign(line), "")
            return
        style = _STYLES.get(str(line.get("level")), "")
        for number, text in enumerate(logline.rendered(line)):
            self._put(text, "" if number else style)


class _Lines(Shown):
    """One document for each line: what is followed has no end."""

    def show(self, line: Line) -> None:
        if not isinstance(line, bytes):
            print(json.dumps(line))


class _Document(Shown):
    """One document, written as it comes."""

    def __init__(self) -> None:
        self._before = "["

    def show(self, line: Line) -> None:
        if not isinstance(line, bytes):
            print(self._before, json.dumps(line), sep="\n", end="")
            self._before = ","

    def end(self) -> None:
        print("[]" if self._before == "[" else "\n]")


@contextmanager
def shown_on(common: Common, *, follow: bool) -> Iterator[Shown]:
    """Where lines are printed; on a terminal with what their coded values stand for."""
    if common.json and not follow:
        document = _Document()
        yield document
        document.end()
    elif common.json:
        yield _Lines()
    elif sys.stdout.isatty():
        yield _Eyes(_on_terminal(common))
    else:
        yield _Eyes(lambda text, _style: print(text))


def _on_terminal(common: Common) -> Callable[[str, str], None]:
    from rich.text import Text  # noqa: PLC0415  only a terminal pays for it

    screen, decoded = console(), Decoder(common)

    def put(text: str, style: str) -> None:
        screen.print(Text(decoded.text(text), style), soft_wrap=True)

    return put


class Decoder:
    """What coded values stand for, as far as the ledger knows it."""

    def __init__(self, common: Common) -> None:
        self._common = common
        self._known: dict[str, str] = {}
        self._again = 0.0

    def text(self, text: str) -> str:
        """The text with what is known in place of its coded values."""
        codes = set(CODED.findall(text))
        if codes - self._known.keys() and time.monotonic() >= self._again:
            self._known |= self._look()
            self._again = time.monotonic() + AGAIN
        return CODED.sub(lambda found: self._known.get(found[0], found[0]), text)

    def _look(self) -> dict[str, str]:
        try:
            with self._common.parts() as parts:
                code = coder_of(self._common.settings()).code
                return {code(each): each for each in coded.known(parts)}
        except WatcherError:
            return {}  # no daemon has run here, or they are another user's: coded values stay
