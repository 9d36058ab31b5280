"""`watcher delete`."""

from typing import Annotated

from cyclopts import Parameter

from watcher.commands.acting import NOBODY, Choice, act_on, choose
from watcher.commands.options import PLAIN, Common
from watcher.core.session import Session
from watcher.io.lease import login
from watcher.stages import decide
from watcher.stages.parts import Parts


def delete(
    *ids: str,
    reason: Annotated[str, Parameter(help="Why; kept with the decision.")],
    scan: Annotated[str, Parameter(help="Only these scans, as 7,8.")] = "",
    choice: Choice = NOBODY,
    common: Common = PLAIN,
) -> int:
    """Move sessions, or some scans of them, from the prearchive to the history.

    Example: watcher delete 20260619_091425123 --scan 7,8 --reason "phantom"
    """
    scans = [each.strip() for each in scan.split(",") if each.strip()]

    def act(parts: Parts, each: Session) -> Session:
        if scans:
            return decide.delete_scans(parts, each.id, scans, who=login(), reason=reason)
        return decide.delete(parts, each.id, who=login(), reason=reason)

    with common.parts() as parts:
        return act_on(parts, choose(parts, ids, choice), act, json=common.json)
