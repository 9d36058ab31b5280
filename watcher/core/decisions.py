"""What people's decisions on a session mean for it, and how far they reach (spec 6, 10)."""

from collections.abc import Callable, Collection

from watcher.core.policy import Project
from watcher.core.session import Instance, Policy, Session


def passed(session: Session, studies: Collection[str]) -> frozenset[str]:
    """The codes of findings a person passed, by decisions made knowing all of these studies.

    A study that came later was not decided on, and is asked about again; so is a session that has
    been given another place since.
    """
    home = (session.project, session.label)
    return frozenset(
        code
        for each in session.decisions
        if set(studies) <= {each.study, *each.studies} and each.key_to in {None, home}
        for code in each.passed
    )


def policy_of(session: Session, project: Project | None) -> Callable[[Instance], Policy]:
    """What becomes of a newcomer that differs from what has its UIDs.

    A person's last decision covers the files that had arrived by then, in the place it was made
    for; for others the project's `overwrite` speaks (XNAT code 5).
    """
    home = (session.project, session.label)
    decided = [e for e in session.decisions if e.policy and e.key_to in {None, home}]
    otherwise: Policy = "overwrite" if project and project.overwrite else ""

    def policy(instance: Instance) -> Policy:
        covering = (each.policy for each in reversed(decided) if instance.arrived <= each.when)
        return next(covering, otherwise)

    return policy
