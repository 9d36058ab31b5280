"""What a command prints: one JSON document, or a table for people."""

import json
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table


def console() -> Console:
    """Standard output; no colour and no folding when it is piped."""
    width = None if sys.stdout.isatty() else 200
    return Console(file=sys.stdout, width=width, highlight=False, soft_wrap=not sys.stdout.isatty())


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
