"""What Python and libraries would print by themselves, said as events: no line of text among them.

Threads that end by an exception, exceptions nobody can catch, warnings, records of `logging`; each
once in a run, however often it is met.
"""

import logging
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TextIO

from watcher.core.emit import Emit
from watcher.core.failure import fault
from watcher.stages.faults import Faults


class _Records(logging.Handler):
    """Warnings and errors of libraries: whose, and what was raised. Their words stay unsaid."""

    def __init__(self, say: Callable[[dict[str, object]], None]) -> None:
        super().__init__(logging.WARNING)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        """One record, as an event."""
        raised = record.exc_info[1] if record.exc_info else None
        part, level = f"logging {record.name}", "warning"
        if record.levelno >= logging.ERROR:
            level = "error"
        where = [f"{record.module}:{record.lineno} {record.funcName}"]
        told = {"error": record.levelname, "part": part, "trace": where}
        self._say({"level": level, **(fault(raised, part) if raised else told)})


@contextmanager
def said(emit: Emit) -> Iterator[None]:
    """Meanwhile `emit` hears of all that, as `daemon.fault`."""
    say = partial(Faults().say, emit)

    def tell(error: BaseException | None, part: str) -> None:
        if error is not None:
            say(fault(error, part))

    def warn(  # noqa: PLR0917  the hook's own signature
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        del message, file, line  # its words may quote the data
        where = [f"{filename.rpartition('/')[2]}:{lineno}"]
        say({"level": "warning", "error": category.__name__, "part": "warning", "trace": where})

    handler = _Records(say)
    root, before = logging.getLogger(), (threading.excepthook, sys.unraisablehook)
    with warnings.catch_warnings():  # which keeps `showwarning`
        warnings.showwarning = warn
        threading.excepthook = lambda args: tell(args.exc_value, "thread")
        sys.unraisablehook = lambda args: tell(args.exc_value, "unraisable")
        root.addHandler(handler)
        try:
            yield
        finally:
            root.removeHandler(handler)
            threading.excepthook, sys.unraisablehook = before
