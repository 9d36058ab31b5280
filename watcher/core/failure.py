"""The one place that turns an exception into what may be said of it: never the words of others.

A message of Python's or of a library may quote the data, so only its type is told; of our own
errors the sentence too, and of the system's what the system calls them. Where it was raised is told
as modules, lines and functions.
"""

from collections.abc import Iterator
from types import TracebackType
from typing import Final

from watcher.core.errors import WatcherError

DEEPEST: Final = 8  # frames told, those next to the fault


def explained(error: BaseException) -> str:
    """An error's type, and its message where we wrote it."""
    name = type(error).__name__
    if isinstance(error, BaseExceptionGroup):
        return f"{name}({', '.join(explained(one) for one in error.exceptions)})"
    if isinstance(error, OSError) and error.strerror:
        return f"{name}: {error.strerror}"
    return f"{name}: {error}" if isinstance(error, WatcherError) else name


def leaf(error: BaseException) -> BaseException:
    """The first error of a group, of groups in it too; the error itself where it is none."""
    return leaf(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


def trace(error: BaseException) -> list[str]:
    """Where it was raised, the outermost first: `module:line function`."""
    return list(_frames(leaf(error).__traceback__))[-DEEPEST:]


def _frames(at: TracebackType | None) -> Iterator[str]:
    while at is not None:
        module = str(at.tb_frame.f_globals.get("__name__", ""))  # of a template: its path
        where = module.rpartition("/")[2]
        yield f"{where}:{at.tb_lineno} {at.tb_frame.f_code.co_qualname}"
        at = at.tb_next


def fault(error: BaseException, part: str) -> dict[str, object]:
    """The fields of `daemon.fault`: something that nobody foresaw, met in this part."""
    return {"error": explained(error), "part": part, "trace": trace(error)}
