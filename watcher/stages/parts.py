"""What the stages and the commands work with, built once from the settings."""

import threading
from dataclasses import dataclass, field, replace

from watcher.core.emit import Emit
from watcher.core.policy import Project, Projects, SessionRules
from watcher.core.record import finding_values
from watcher.core.session import Finding, Session, Status
from watcher.io.clock import Clock
from watcher.io.lease import Leases, destination_key, session_key
from watcher.io.ledger import Ledger
from watcher.io.receiving import Receiving
from watcher.io.registry import Registry
from watcher.io.said import Conditions
from watcher.io.service import Watchdog, alive
from watcher.io.stores import Storage
from watcher.stages.failing import Failing
from watcher.stages.faults import Faults


class Stopped(Exception):  # noqa: N818  not an error: somebody asked
    """The program is ending; what was begun is carried on at the next start."""


@dataclass(frozen=True)
class Parts:
    """The devices and the policy, as values. Synchronous; used from worker threads."""

    storage: Storage
    ledger: Ledger
    receiving: Receiving
    registry: Registry
    leases: Leases
    conditions: Conditions
    projects: Projects
    rules: SessionRules
    emit: Emit
    clock: Clock
    stopping: threading.Event = field(default_factory=threading.Event)
    failing: Failing = field(default_factory=Failing)
    faults: Faults = field(default_factory=Faults)
    watchdog: Watchdog = field(default_factory=Watchdog)

    def check_stop(self) -> None:
        """Between two steps of a plan, a sign of life: Stopped when the program is ending."""
        alive()
        if self.stopping.is_set():
            raise Stopped

    def fault(self, error: BaseException, part: str) -> None:
        """Something that nobody foresaw: said, once in a run."""
        self.faults.tell(self.emit, error, part)

    def project(self, session: Session) -> Project | None:
        """The policy of a session's project; None for Unassigned or unknown ones."""
        return self.projects.known.get(session.project) if session.project else None

    def auto_archive(self, session: Session) -> bool:
        """Whether the session is archived without a person.

        The drops' dest overrules AA, which overrules the project (spec 6, 7).
        """
        project = self.project(session)
        if project is None or session.hold_auto:
            return False
        if session.dest == "archive":
            return True
        return project.auto_archive if session.auto_archive is None else session.auto_archive

    def anew(self, session: Session) -> str:
        """The command that does again what the machine could not, once its cause is removed.

        What is built by hand waits for a person: where sessions go on by themselves, `archive`.
        """
        goes_on = self.auto_archive(replace(session, hold_auto=False))
        command = "archive" if goes_on else "rebuild"
        return f"watcher {command} {session.id}"

    def keys(self, session: Session) -> list[str]:
        """The leases on a session and its destination."""
        return [session_key(session.id), destination_key(session.project, session.label)]

    def publish(self, session_id: str) -> Session:
        """Swap in a session's `LABEL.json` as the ledger has it now."""
        with self.leases.exclusive(f"record/{session_id}"):
            session = self.ledger.session(session_id)
            self.storage.write_record(session)
        return session

    def said(self, session: Session, **more: object) -> dict[str, object]:
        """The fields every event of a session carries."""
        return {
            "session": session.id,
            "project": session.project or "Unassigned",
            "subject": session.subject,
            "label": session.label,
            "study": session.study,
            **more,
        }

    def announce(self, session: Session) -> None:
        """Raise or clear what the session's status means to people."""
        key = f"session/{session.id}"
        now = self.clock.now()
        if session.status is Status.CONFLICT:
            self.conditions.raise_(
                "session.conflict",
                key,
                now,
                **self.said(session, findings=[shown(each) for each in session.findings]),
                hint=f"watcher show {session.id}",
            )
        elif session.status is Status.ERROR:
            self.conditions.raise_(
                "session.error",
                key,
                now,
                **self.said(session, error=session.error),
                hint=self.anew(session),
            )

    def settle(self, session: Session, outcome: str) -> None:
        """Clear what was raised of a session that is archived, merged or deleted."""
        key = f"session/{session.id}"
        self.conditions.clear("session.settled", key, **self.said(session, outcome=outcome))


def shown(finding: Finding) -> dict[str, object]:
    """A finding as a line of the log carries it."""
    sides = {"incoming", "archived", "evidence"}
    return {name: value for name, value in finding_values(finding).items() if name not in sides}
