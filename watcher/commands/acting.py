"""What the commands that act on sessions have in common: select, ask, lease, act, tell."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from cyclopts import Parameter

from watcher.commands import select
from watcher.commands.output import print_json, print_table
from watcher.commands.several import on_each
from watcher.core.errors import ConfigurationError, HeldError, RefusedError
from watcher.core.record import finding_values
from watcher.core.session import Session, Status
from watcher.stages.parts import Parts

DONE: Final = 0
OPEN: Final = 3
UNSETTLED: Final = frozenset({Status.CONFLICT, Status.ERROR})

Act = Callable[[Parts, Session], Session | list[Session]]


@Parameter(name="*")
@dataclass(frozen=True)
class Choice:
    """Sessions beside those named: all with a status, or in a project."""

    status: Annotated[Status | None, Parameter(help="All sessions in this status.")] = None
    project_of: Annotated[
        str | None, Parameter(name="--project", help="All sessions of this project.")
    ] = None
    yes: Annotated[bool, Parameter(help="Do not ask.", negative="")] = False


@dataclass(frozen=True)
class ChoiceFrom(Choice):
    """The same, where `--project` means something else."""

    project_of: Annotated[
        str | None, Parameter(name="--from", help="All sessions of this project.")
    ] = None


NOBODY: Final = Choice()
FROM_NOWHERE: Final = ChoiceFrom()


def choose(parts: Parts, ids: Sequence[str], choice: Choice) -> list[Session]:
    """The sessions meant; asks once for a selection on a terminal."""
    found = select.sessions(parts, ids, choice.status, choice.project_of)
    asking = choice.status is not None or choice.project_of is not None
    if asking and not choice.yes:
        _ask(found)
    return found


def _ask(found: Sequence[Session]) -> None:
    if not sys.stdin.isatty():
        raise ConfigurationError(f"{len(found)} sessions selected", hint="--yes to go on")
    sys.stderr.write("".join(f"  {each.shown}  {each.status.value}\n" for each in found))
    sys.stderr.write(f"{len(found)} sessions. Go on? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().casefold() not in {"y", "yes"}:
        raise RefusedError("nothing was changed")


def act_on(parts: Parts, found: Sequence[Session], act: Act, *, json: bool) -> int:
    """Act on each session under its leases, tell how each ended; gives the exit code.

    `act` gives the session, or those it became. One that is refused does not stop the others; of
    several codes the first of 2, 10, 4, 3 counts.
    """
    became, code = on_each(
        found, lambda each: _acted(parts, each, act), lambda each: each.id, told=str
    )
    ended = [each for some in became for each in some]
    show(ended, json=json)
    return code or (OPEN if any(each.status in UNSETTLED for each in ended) else DONE)


def _acted(parts: Parts, each: Session, act: Act) -> list[Session]:
    keys = parts.keys(select.in_prearchive(each))
    with parts.leases.hold(keys, parts.clock.now()):
        now = select.in_prearchive(parts.ledger.session(each.id))
        if parts.keys(now) != keys:
            raise HeldError(f"{each.id} was moved meanwhile", hint="try again")
        done = act(parts, now)
    return done if isinstance(done, list) else [done]


def show(ended: Sequence[Session], *, json: bool) -> None:
    """How sessions ended, with what still blocks them and the commands that settle it."""
    if json:
        print_json([result(each) for each in ended])
        return
    rows = [(each.id, each.project or "Unassigned", each.label, each.status) for each in ended]
    print_table(("ID", "PROJECT", "LABEL", "STATUS"), rows, nothing="nothing to do")
    for each in ended:
        for finding in each.findings if each.status in UNSETTLED else ():
            if finding.blocks:
                print(f"\n{finding.severity.value} {finding.code}: {finding.text}")
                for command in finding.resolve:
                    print(f"  {command}")
        if each.error:
            print(f"\n{each.error}")


def result(session: Session) -> dict[str, object]:
    """A session as an acting command's `--json` gives it."""
    return {
        "id": session.id,
        "project": session.project,
        "subject": session.subject,
        "label": session.label,
        "status": session.status.value,
        "error": session.error,
        "findings": [finding_values(each) for each in session.findings],
    }
