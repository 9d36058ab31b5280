"""The options every command has, and what they lead to."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from watcher.settings import Settings, find, load
from watcher.stages.parts import Parts


@Parameter(name="*")
@dataclass(frozen=True)
class Common:
    """Options of every command."""

    config: Annotated[str | None, Parameter(help="The configuration file.")] = None
    json: Annotated[bool, Parameter(help="One JSON document instead of a table.", negative="")] = (
        False
    )

    def source(self) -> str:
        """Where the configuration is; ConfigurationError where none is."""
        return find(self.config, os.environ, os.getcwd())

    def settings(self) -> Settings:
        """The configuration; ConfigurationError with every fault of it."""
        return load(self.source())

    @contextmanager
    def parts(self) -> Iterator[Parts]:
        """The devices, beside a running daemon or not."""
        from watcher.assembly import command_parts  # noqa: PLC0415  `--help` shall not pay for it

        with command_parts(self.settings()) as parts:
            yield parts


PLAIN = Common()
