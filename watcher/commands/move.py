"""`watcher move`."""

from typing import Annotated

from cyclopts import Parameter

from watcher.commands.acting import FROM_NOWHERE, ChoiceFrom, act_on, choose
from watcher.commands.options import PLAIN, Common
from watcher.core.errors import ConfigurationError
from watcher.core.session import Session
from watcher.io.lease import login
from watcher.stages.parts import Parts
from watcher.stages.resettle import resettle


def move(
    *ids: str,
    project: Annotated[str, Parameter(help="The project to move to: a known id or alias.")],
    reason: Annotated[str, Parameter(help="Why; kept with the decision.")] = "",
    choice: ChoiceFrom = FROM_NOWHERE,
    common: Common = PLAIN,
) -> int:
    """Move sessions to another project; later files of their studies follow.

    Example: watcher move 20260619_091425123 --project PROJ1
    """
    with common.parts() as parts:
        target = parts.projects.find(project)
        if target is None:
            known = ", ".join(sorted(parts.projects.known)) or "none"
            raise ConfigurationError(
                f"no project {project!r}; known: {known}", hint=f"add [projects.{project}]"
            )

        def act(parts: Parts, each: Session) -> Session:
            return resettle(
                parts,
                each,
                project=target.id,
                label=each.label,
                subject=each.subject,
                command="move",
                who=login(),
                reason=reason,
            )

        return act_on(parts, choose(parts, ids, choice), act, json=common.json)
