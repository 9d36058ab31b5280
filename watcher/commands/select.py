"""Which session a person means: an id, or any unambiguous part of PROJECT/TIMESTAMP/LABEL."""

from collections.abc import Iterable, Sequence

from watcher.commands import coded
from watcher.core import pick
from watcher.core.errors import RefusedError, UnknownSessionError
from watcher.core.session import UNASSIGNED, Session, Status
from watcher.io.registry import Shelf
from watcher.stages.parts import Parts


def session(parts: Parts, text: str) -> Session:
    """The session a text means; UnknownSessionError for none or several.

    RefusedError for an archived one of which the ledger knows no id.
    """
    text = coded.plain(parts, text)
    if parts.ledger.has(text):
        return parts.ledger.session(text)
    found = _matching(text, parts.ledger.sessions())
    if not found and (archived := shelf(parts, text)) is not None:
        if not parts.ledger.has(archived.session):
            raise RefusedError(f"{text} is archived", hint=f"watcher show {text}")
        return parts.ledger.session(archived.session)
    return _one(text, found)


def sessions(
    parts: Parts, texts: Sequence[str], status: Status | None = None, project: str | None = None
) -> list[Session]:
    """Those named, and those selected by status and project; UnknownSessionError for none."""
    found = [session(parts, text) for text in texts]
    if status is not None or project is not None:
        found += selected(parts, status, project)
    if not found:
        raise UnknownSessionError("no session given, and none selected", hint="watcher sessions")
    return list({each.id: each for each in found}.values())


def selected(parts: Parts, status: Status | None, project: str | None) -> list[Session]:
    """The prearchive's sessions with this status and in this project, oldest first."""
    known = parts.ledger.sessions((status,)) if status else parts.ledger.sessions()
    return [
        each
        for each in known
        if project is None or (each.project or UNASSIGNED).casefold() == project.casefold()
    ]


def shelf(parts: Parts, text: str) -> Shelf | None:
    """The archived session that `PROJECT/LABEL` names, or None."""
    project, _, label = text.partition("/")
    return parts.registry.shelf(project, label) if label else None


def in_prearchive(wanted: Session) -> Session:
    """The same session; RefusedError where it has left the prearchive."""
    if wanted.status in {Status.ARCHIVED, Status.DELETED}:
        raise RefusedError(
            f"{wanted.id} is {wanted.status.value.lower()}", hint=f"watcher show {wanted.id}"
        )
    return wanted


def _matching(text: str, known: Iterable[Session]) -> list[Session]:
    """Those that the text, or any part of it, means."""
    every = {each.shown: each for each in known}
    return [every[shown] for shown in pick.fitting(text, list(every))]


def _one(text: str, found: Sequence[Session]) -> Session:
    if not found:
        raise UnknownSessionError(f"no session fits {text!r}", hint="watcher sessions")
    if len(found) > 1:
        several = ", ".join(each.shown for each in found[:5])
        raise UnknownSessionError(
            f"{len(found)} sessions fit {text!r}: {several}", hint="give the id"
        )
    return found[0]
