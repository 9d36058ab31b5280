"""A session given another place, or split, and then the project's way with it (spec 9)."""

from watcher.core.errors import RefusedError
from watcher.core.session import Session, Status
from watcher.io.lease import destination_key
from watcher.stages.archive import archive
from watcher.stages.decide import relocate, split
from watcher.stages.parts import Parts


def resettle(
    parts: Parts,
    session: Session,
    *,
    project: str | None,
    label: str,
    subject: str,
    command: str,
    who: str,
    reason: str,
) -> Session:
    """Move or relabel a session, build it, and archive it where its project does so by itself.

    The caller holds the leases on the session as it stands; the new destination's is taken here.
    RefusedError where nothing would change. Gives the session as it ended.
    """
    if (project, label, subject) == (session.project, session.label, session.subject):
        raise RefusedError(f"{session.id} is {session.shown} already")
    new = destination_key(project, label)
    extra = [] if new == destination_key(session.project, session.label) else [new]
    with parts.leases.hold(extra, parts.clock.now()):
        moved = relocate(
            parts,
            session.id,
            project=project,
            label=label,
            subject=subject,
            command=command,
            who=who,
            reason=reason,
        )
        return _on_its_way(parts, moved)


def split_up(parts: Parts, session: Session, *, who: str, reason: str) -> list[Session]:
    """Split a session by study, and archive those whose project does so by itself.

    The caller holds its leases, which are those on the new ones' destination too. Gives the
    sessions as they ended, the one that was split first.
    """
    apart = split(parts, session.id, who=who, reason=reason)
    return [_on_its_way(parts, each) for each in apart]


def _on_its_way(parts: Parts, session: Session) -> Session:
    if session.status is Status.READY and parts.auto_archive(session):
        return archive(parts, session.id) or parts.ledger.session(session.id)
    return session
