"""What an archiving sets aside: its place in the quarantine, and the entries made of it."""

import os
from collections.abc import Mapping, Sequence
from typing import Final

from watcher.core.session import Session
from watcher.io.registry import SetAside
from watcher.stages.parts import Parts
from watcher.stages.promise import Aside, Promise
from watcher.stages.quarantine import count_files, say, write_reason

_BY_ARCHIVING: Final = {
    "other-class": (
        "its SOP instance UID is archived under another SOP class",
        "give it a UID of its own and send it again; then `{purge}`",
    ),
    "stray-file": (
        "it lay in a scan folder and is no instance of the session",
        "keep it elsewhere if it is needed; then `{purge}`",
    ),
}


def place_aside(session: Session, drop: str, code: str, name: str) -> str:
    """Where a file that archiving sets aside goes, relative to the store; one entry for a code.

    A session that is archived in parts adds to its entry.
    """
    day = f"{session.id[:4]}-{session.id[4:6]}-{session.id[6:8]}"
    drop = drop or next(iter(session.drops), "unknown")  # after a lost ledger
    return f"{drop}/{day}/{session.id}-{code}/{name}"


def note_asides(parts: Parts, promise: Promise) -> None:
    """The quarantine's entries of what an archiving set aside."""
    aside = [each for each in promise.asides if each.store == "quarantine"]
    filed = parts.ledger.instances(promise.session.id) if aside else []
    sent = {each.place.path: each.source for each in filed if each.source}
    for place in dict.fromkeys("/".join(each.target.split("/")[:3]) for each in aside):
        here = [each for each in aside if each.target.startswith(f"{place}/")]
        _note_aside(parts, here, place, sent)


def _note_aside(
    parts: Parts, aside: Sequence[Aside], place: str, sent: Mapping[str, bytes]
) -> None:
    """`sent`: where the session's files lay in the drop, as far as the ledger knows."""
    drop, _, entry_id = place.split("/")
    code = aside[0].because
    text, hint = _BY_ARCHIVING[code]
    entry = SetAside(
        id=entry_id,
        drop=drop,
        code=code,
        place=place,
        path=sent.get(aside[0].source) or os.fsencode(aside[0].source),
        text=text,
        hint=hint.format(purge=f"watcher quarantine purge {entry_id} --reason TEXT"),
        sop="",
        files=count_files(parts, place),
        set_aside=parts.clock.now(),
    )
    write_reason(os.path.join(parts.storage.require("quarantine"), place), entry)
    parts.registry.set_aside(entry)
    say(parts, entry, shared=False)
