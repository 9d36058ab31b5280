"""`watcher split`."""

from typing import Annotated

from cyclopts import Parameter

from watcher.commands.acting import NOBODY, Choice, act_on, choose
from watcher.commands.options import PLAIN, Common
from watcher.core.session import Session
from watcher.io.lease import login
from watcher.stages.parts import Parts
from watcher.stages.resettle import split_up


def split(
    *ids: str,
    reason: Annotated[str, Parameter(help="Why; kept with the decision.")] = "",
    choice: Choice = NOBODY,
    common: Common = PLAIN,
) -> int:
    """Make one session of each study; later files go to the session of their own study.

    The study of most files keeps the session and its id.

    Example: watcher split 20260619_091425123
    """

    def act(parts: Parts, each: Session) -> list[Session]:
        return split_up(parts, each, who=login(), reason=reason)

    with common.parts() as parts:
        return act_on(parts, choose(parts, ids, choice), act, json=common.json)
