"""`watcher archive`."""

import sys
from typing import Annotated

from cyclopts import Parameter

from watcher.commands.acting import NOBODY, Choice, act_on, choose
from watcher.commands.options import PLAIN, Common
from watcher.core.errors import ConfigurationError
from watcher.core.model import Session
from watcher.io.lease import login
from watcher.stages import decide
from watcher.stages.parts import Parts

WARNING = (
    "Merging different StudyInstanceUIDs may affect data integrity and compliance with "
    "DICOM standards."
)


def archive(
    *ids: str,
    force: Annotated[bool, Parameter(help="Past findings that give way.", negative="")] = False,
    reason: Annotated[str, Parameter(help="Why; kept with the decision.")] = "",
    choice: Choice = NOBODY,
    common: Common = PLAIN,
) -> int:
    """Archive sessions, building them first where needed.

    Example: watcher archive 20260619_091425123 --force --reason "one examination, cut in two"
    """
    if force and not reason:
        raise ConfigurationError("--force wants a reason", hint='--reason "..."')
    with common.parts() as parts:
        found = choose(parts, ids, choice)

        def act(parts: Parts, each: Session) -> Session:
            return decide.archive_now(
                parts, each.id, force=force, who=login(), reason=reason, tell=_warn
            )

        return act_on(parts, found, act, json=common.json)


def _warn(session: Session) -> None:
    """What is about to be overridden, before it is."""
    sys.stderr.write(f"{WARNING}\n")
    for finding in session.findings:
        if finding.blocks:
            sys.stderr.write(f"  overrides {finding.code}: {finding.text}\n")
