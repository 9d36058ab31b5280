"""`watcher run`."""

import os
from typing import Annotated

from cyclopts import Parameter

from watcher.commands.options import PLAIN, Common


def run(
    *,
    once: Annotated[bool, Parameter(help="Drain the drops once, then stop.", negative="")] = False,
    common: Common = PLAIN,
) -> int:
    """Watch the drops and archive what comes, until a signal.

    Example: watcher run --config /etc/watcher/watcher.toml
    """
    from watcher import daemon  # noqa: PLC0415  `--help` shall not pay for it
    from watcher.io.service import Watchdog, patience_of  # noqa: PLC0415

    return daemon.run(
        common.settings(),
        once=once,
        watchdog=Watchdog(os.environ.get("NOTIFY_SOCKET"), patience_of(os.environ)),
        journal=os.environ.get("JOURNAL_STREAM", ""),
    )
