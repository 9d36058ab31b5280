"""Who works on which session: one hand takes all in order, another only those of few files.

Else a session of ten files would wait for the archiving of one of fifty thousand. Sessions for one
destination go in order of opening (spec 9), and so do those of one study: what is archived already
decides on the next.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from watcher.core.session import Session
from watcher.io.lease import destination_key
from watcher.stages.bell import Bell

FEW = 1000  # files a session has taken, at the most, for the second hand to work on it


class Hands:
    """What is in work. Used in the event loop only."""

    def __init__(self, bell: Bell) -> None:
        self._bell = bell  # wakes both
        self._held: dict[str, set[str]] = {}
        self._left = False  # a hand passed over what the other had, or was too much for it

    def turns(self, sessions: Sequence[Session], *, few: bool = False) -> Iterator[Session]:
        """Those that one hand may work on, in order, as things are when it comes to each.

        Not what the other has, nor what comes behind that or behind another passed over. `few`:
        only those of few files.
        """
        behind: set[str] = set()
        for session in sessions:
            keys = _keys(session)
            if (few and session.generation > FEW) or not keys.isdisjoint(
                behind.union(*self._held.values())
            ):
                behind |= keys
                self._left = True
            else:
                yield session

    @contextmanager
    def working(self, session: Session) -> Iterator[None]:
        """A hand has this session; what was passed over is looked at again afterwards."""
        self._held[session.id] = _keys(session)
        try:
            yield
        finally:
            del self._held[session.id]
            if self._left:
                self._left = False
                self._bell.ring()


def _keys(session: Session) -> set[str]:
    """What no two sessions in work may have in common."""
    return {session.id, session.study, destination_key(session.project, session.label)}
