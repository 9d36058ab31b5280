"""`watcher relabel`."""

from typing import Annotated

from cyclopts import Parameter

from watcher.commands import select
from watcher.commands.acting import act_on
from watcher.commands.options import PLAIN, Common
from watcher.core import names
from watcher.core.errors import ConfigurationError
from watcher.core.model import Session
from watcher.io.lease import login
from watcher.stages.parts import Parts
from watcher.stages.resettle import resettle


def relabel(
    wanted: str,
    /,
    *,
    subject: Annotated[str, Parameter(help="The subject's new label.")] = "",
    session: Annotated[str, Parameter(help="The session's new label.")] = "",
    reason: Annotated[str, Parameter(help="Why; kept with the decision.")] = "",
    common: Common = PLAIN,
) -> int:
    """Give a session another subject or session label; later files of its study follow.

    Example: watcher relabel 20260619_091425123 --session S001_MR2
    """
    if not subject and not session:
        raise ConfigurationError("nothing to change", hint="--session L, --subject S")
    for text in filter(None, (subject, session)):
        if names.label(text) != text:
            raise ConfigurationError(f"{text!r} is no label", hint=f"try {names.label(text)}")
    with common.parts() as parts:
        found = select.in_prearchive(select.session(parts, wanted))

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

        return act_on(parts, [found], act, json=common.json)
