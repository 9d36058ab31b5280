"""What an archiving that was begun still needs of history and quarantine (spec 11).

Its plan names the files it put there; it is carried forward only while they are there.
"""

import os

from watcher.core.errors import HeldError
from watcher.core.session import Status
from watcher.stages import promise as promises
from watcher.stages.parts import Parts


def check_free(parts: Parts, store: str, place: str) -> None:
    """HeldError while the plan of an archiving names files in this entry of a store.

    The caller holds the lease that such an archiving would hold: one that runs is waited for there,
    one that was cut off is found here.
    """
    for session in parts.ledger.sessions((Status.ARCHIVING,)):
        path = promises.path_of(parts, session)
        if os.path.lexists(path) and _names(promises.read(path), store, place):
            raise HeldError(
                f"the archiving of {session.id} was cut off and needs it still",
                hint="start the daemon, or `watcher run --once`: it carries on what was cut off",
            )


def _names(promise: promises.Promise, store: str, place: str) -> bool:
    targets = [each.target for each in promise.asides if each.store == store]
    if store == "history":
        targets += [each.target for each in promise.retires]
    return any(target.startswith(f"{place}/") for target in targets)
