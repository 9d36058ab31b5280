"""What a command prints: one JSON document, or a table for people."""

import json
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table


class _Passing(Console):
    """A console that leaves a closed pipe to the program's own border; rich would exit with 1."""

    def on_broken_pipe(self) -> None:
        """Pass it on."""
        raise BrokenPipeError


def console() -> Console:
    """Standard output; no colour and no folding when it is piped."""
    piped = not sys.stdout.isatty()
    width = 200 if piped else None
    return _Passing(file=sys.stdout, width=width, highlight=False, soft_wrap=piped)


def print_json(document: object) -> None:
    """One document on standard output."""
    print(json.dumps(document, indent=2 if sys.stdout.isatty() else None, default=str))


def print_table(head: Sequence[str], rows: Sequence[Sequence[object]], *, nothing: str) -> None:
    """Rows under their names; one sentence where there are none."""
    if not rows:
        print(nothing)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in head:
        table.add_column(name, overflow="fold")  # an id that is cut short is none
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    console().print(table, markup=False)
