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

    return daemon.run(
        common.settings(),
        once=once,
        notify_address=os.environ.get("NOTIFY_SOCKET"),
        journal=os.environ.get("JOURNAL_STREAM", ""),
    )
