"""`watcher archive`."""

import sys
from collections.abc import Collection
from functools import partial
from typing import Annotated

from cyclopts import Parameter

from watcher.commands.acting import NOBODY, Choice, act_on, choose
from watcher.commands.options import PLAIN, Common
from watcher.core.errors import ConfigurationError
from watcher.core.file_rules import OUTCOMES
from watcher.core.session import Policy, Session, Severity, Status
from watcher.io.lease import login
from watcher.stages import decide
from watcher.stages.parts import Parts

WARNING = (
    "Merging different StudyInstanceUIDs may affect data integrity and compliance with "
    "DICOM standards."
)


def archive(
    *ids: str,
    force: Annotated[bool, Parameter(help="Past findings about the session.", negative="")] = False,
    overwrite: Annotated[
        bool, Parameter(help="Differing newcomers replace the archived files.", negative="")
    ] = False,
    keep: Annotated[
        bool, Parameter(help="Differing newcomers go to the history.", negative="")
    ] = False,
    reason: Annotated[str, Parameter(help="Why; kept with the decision.")] = "",
    choice: Choice = NOBODY,
    common: Common = PLAIN,
) -> int:
    """Archive sessions, building them first where needed.

    What no finding holds goes in; scans that are held stay. --force passes findings about the
    session; --overwrite and --keep settle files that differ under the same UIDs. Nothing is lost:
    what is not archived goes to the history.

    Example: watcher archive 20260619_091425123 --force --reason "one examination, cut in two"
    """
    _check(reason, force=force, overwrite=overwrite, keep=keep)
    with common.parts() as parts:
        found = choose(parts, ids, choice)

        def act(parts: Parts, each: Session) -> Session:
            done = decide.archive_now(
                parts,
                each.id,
                force=force,
                overwrite=overwrite,
                keep=keep,
                who=login(),
                reason=reason,
                tell=partial(_warn, "overwrite" if overwrite else "keep" if keep else ""),
            )
            if force:
                _bar(done)
            return done

        return act_on(parts, found, act, json=common.json)


def _check(reason: str, *, force: bool, overwrite: bool, keep: bool) -> None:
    if overwrite and keep:
        raise ConfigurationError("--overwrite and --keep exclude each other", hint="give one")
    if (force or overwrite or keep) and not reason:
        given = "--force" if force else "--overwrite" if overwrite else "--keep"
        raise ConfigurationError(f"{given} wants a reason", hint='--reason "..."')


def _warn(policy: Policy, session: Session, codes: Collection[str]) -> None:
    """What is about to be overridden, before it is, and where the other files go."""
    for finding in session.findings:
        if finding.blocks and finding.code in codes:
            goes = OUTCOMES.get((finding.code, policy), "")
            scope = "" if finding.scope == "session" else f" of {finding.scope}"
            said = f"{finding.code}{scope}: {finding.text}" + (goes and f": {goes}")
            sys.stderr.write(f"  overrides {said}\n")
    sys.stderr.write(f"{WARNING}\n")


def _bar(done: Session) -> None:
    """Why force was of no use."""
    for finding in done.findings if done.status is Status.CONFLICT else ():
        if finding.severity is Severity.FAIL:
            sys.stderr.write(f"no force passes {finding.code}: {finding.text}\n")
