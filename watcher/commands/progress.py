"""Progress of long work on standard error, where that is a terminal (spec 4)."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from watcher.core.notation import format_size

T = TypeVar("T")


class Told:
    """Hears of bytes as they are read, and of sessions as they are done. This one shows nothing."""

    def seen(self, size: int) -> None:
        """So many bytes were read; called in any thread."""

    def done(self, thing: T) -> T:
        """One session is done; gives back what came of it."""
        return thing


@contextmanager
def progress(text: str, number: int) -> Iterator[Told]:
    """What to tell of work on `number` sessions."""
    if not sys.stderr.isatty():
        yield Told()
        return
    from rich.console import Console  # noqa: PLC0415  only a terminal pays for it
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[read]}"),
    )
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as bar:
        task = bar.add_task(text, total=number, read="")
        lock = threading.Lock()
        read = 0

        class Shown(Told):
            def seen(self, size: int) -> None:
                nonlocal read
                with lock:
                    read += size
                    bar.update(task, read=format_size(read))

            def done(self, thing: T) -> T:
                bar.advance(task)
                return thing

        yield Shown()
