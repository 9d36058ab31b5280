"""`watcher relabel`."""

from typing import Annotated

from cyclopts import Parameter

from watcher.commands import coded
from watcher.commands.acting import NOBODY, Choice, act_on, choose
from watcher.commands.options import PLAIN, Common
from watcher.core import names
from watcher.core.errors import ConfigurationError
from watcher.core.session import Session
from watcher.io.lease import login
from watcher.stages.parts import Parts
from watcher.stages.resettle import resettle


def relabel(
    *ids: str,
    subject: Annotated[str, Parameter(help="The subject's new label.")] = "",
    session: Annotated[str, Parameter(help="The session's new label; for one session.")] = "",
    reason: Annotated[str, Parameter(help="Why; kept with the decision.")] = "",
    choice: Choice = NOBODY,
    common: Common = PLAIN,
) -> int:
    """Give sessions another subject, or one another label; later files of their studies follow.

    Example: watcher relabel 20260619_091425123 --session S001_MR2
    """
    if not subject and not session:
        raise ConfigurationError("nothing to change", hint="--session L, --subject S")
    with common.parts() as parts:
        subject, session = (_label(coded.plain(parts, text)) for text in (subject, session))
        found = choose(parts, ids, choice)
        if session and len(found) > 1:
            raise ConfigurationError(
                f"{len(found)} sessions can't all be {session!r}", hint="--session wants one"
            )

        def act(parts: Parts, each: Session) -> Session:
            return resettle(
                parts,
                each,
                project=each.project,
                label=session or each.label,
                subject=subject or each.subject,
                command="relabel",
                who=login(),
                reason=reason,
            )

        return act_on(parts, found, act, json=common.json)


def _label(text: str) -> str:
    if text and names.label(text) != text:
        raise ConfigurationError(f"{text!r} is no label", hint=f"try {names.label(text)}")
    return text
