"""The catalogue of events: what the log can say, as data (spec 12). Names are API.

A condition is said once when it is raised and once when it clears; both carry the same `key`.
Fields are given by name and a word for their kind (core/fields.py); every line may also carry
those that are common to all. A line need not carry all of its event's fields, and has no others.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from watcher.core.errors import WatcherError
from watcher.core.fields import ALIVE, FILE, FREE, LEFT, LEVELS, MERGED, PLACE, SESSION, SIZE, Event

__all__ = ["EVENTS", "LEVELS", "VERSION", "Event", "event"]

VERSION: Final = 1
"""Of the catalogue: higher when an event or field goes or changes its meaning, not for new ones."""


_RAISED = (
    Event(
        "daemon.started",
        "info",
        "Starting",
        "The program has read its configuration and begins to open its stores and drops.",
        {"version": "text", "host": "text", "pid": "count", "config": "path", "drops": "list"},
    ),
    Event(
        "daemon.ready",
        "info",
        "Ready",
        "Every drop is watched and the first full look at each is under way.",
        {"drops": "list", "sessions": "count", "seconds": "seconds"},
    ),
    Event(
        "daemon.heartbeat",
        "info",
        "Alive",
        "What the program has done, what is pending, and how its drops and stores are.",
        ALIVE,
    ),
    Event(
        "daemon.stopped",
        "info",
        "Stopped",
        "The program has ended in good order; what was begun is carried on at the next start.",
        {"reason": "text", "seconds": "seconds", "error": "text", **LEFT},
    ),
    Event(
        "daemon.fault",
        "error",
        "Something unexpected",
        "A bug: a part of the program met what it was not made for. No file is lost by it.",
        {"error": "text", "part": "text", "trace": "list"},
        who="admin",
        todo="Report the line to the makers. If the program ended, its supervisor starts it again.",
    ),
    Event(
        "daemon.recovered",
        "warning",
        "Finished what the last run left",
        "The last run was cut off; what it had begun was finished, or taken back.",
        {**SESSION, "text": "text", "count": "count", "outcome": "text", "error": "text"},
        who="admin",
        todo="Nothing is lost. Find out why the last run was cut off (power, kill, memory).",
    ),
    Event(
        "log.degraded",
        "warning",
        "The log is not complete",
        "Lines were lost here (full disk, closed pipe), or the file can't be rotated. It goes on.",
        {"sink": "text", "lost": "count", "error": "text"},
        who="admin",
        todo="Look at the disk `log.file` lies on, or at whatever reads standard output.",
    ),
    Event("session.opened", "info", "Session opened", "Its first file was filed.", SESSION),
    Event(
        "session.status",
        "debug",
        "Status changed",
        "A session went from one status to another.",
        {**SESSION, "before": "text", "after": "text", "error": "text", "seconds": "seconds"},
    ),
    Event(
        "session.rebuilt",
        "info",
        "Session built and validated",
        "Nothing arrived for a while: catalogs and session XML were written, findings collected.",
        {**SESSION, **SIZE, "status": "text", "findings": "list", "seconds": "seconds"},
    ),
    Event(
        "session.archived",
        "info",
        "Session archived",
        "The session was moved into the archive under a new label.",
        {**SESSION, **SIZE, "seconds": "seconds"},
    ),
    Event(
        "session.merged",
        "info",
        "Session merged into the archived one",
        "The archive had this label already; new files were added to it.",
        {**SESSION, **MERGED, "seconds": "seconds"},
    ),
    Event(
        "session.decided",
        "info",
        "A person decided",
        "A person moved, relabelled, split, deleted, archived or mended it; kept in the history.",
        {**SESSION, "command": "text", "user": "text", "reason": "typed", "passed": "list"},
    ),
    Event(
        "session.conflict",
        "error",
        "Session upload failed",
        "The session disagrees with what is archived, or with itself, and stays in the prearchive.",
        {**SESSION, "findings": "list"},
        who="data",
        todo="`watcher show ID` shows both sides; each finding names the commands that settle it.",
        cleared_by=("session.settled",),
    ),
    Event(
        "session.error",
        "error",
        "Session upload failed",
        "The machine could not build or archive the session; its files are safe where they lie.",
        {**SESSION, "error": "text"},
        who="admin",
        todo="Remove the cause in `error`, then `watcher archive ID`, which builds it first.",
        cleared_by=("session.settled",),
    ),
    Event(
        "file.filed",
        "debug",
        "File filed",
        "A whole DICOM file is durable in its session; its source may be gone.",
        {"path": "path", "target": "path", "bytes": "bytes", "by": "text"},
    ),
    Event(
        "file.duplicate",
        "debug",
        "File is here already",
        "The same file is in its session already; nothing was written.",
        {"path": "path", "by": "text"},
    ),
    Event(
        "file.waiting",
        "debug",
        "File is not whole yet",
        "The file waits where it lies and is looked at again when it changes.",
        FILE,
    ),
    Event(
        "file.stuck",
        "warning",
        "File has not become whole",
        "The file has been incomplete, open or unreadable for longer than `stuck_after`.",
        {**FILE, "seconds": "seconds", "count": "count"},
        who="sender",
        todo="Copy the file again, or remove it from the drop.",
        cleared_by=("file.released",),
    ),
    Event(
        "file.quarantined",
        "warning",  # info for files set aside because they are not DICOM
        "File put into quarantine",
        "The file or unit can't be filed; it was moved aside unchanged, with the reasons.",
        {**FILE, "entry": "id", "count": "count"},
        who="data",
        todo="`watcher quarantine show ID`; mend and drop it again, `requeue` or `purge` it.",
        cleared_by=("quarantine.settled",),
    ),
    Event(
        "reader.unavailable",
        "error",
        "Files can't be read",
        "No process that reads headers can be started: files wait where they lie, tried again.",
        {"error": "text"},
        who="admin",
        todo="`watcher check` starts one too; look at memory and at the limits of the service.",
        cleared_by=("reader.available",),
    ),
    Event(
        "storage.unavailable",
        "error",
        "Store can't be used",
        "Its mount or marker is not there, or it refuses what is written; the rest goes on.",
        PLACE,
        who="admin",
        todo="Mount it again, or take a change that was meant with `watcher check --accept`.",
        cleared_by=("storage.available",),
    ),
    Event(
        "storage.low",
        "error",
        "Store is nearly full",
        "Less than `storage.reserve` (or 1 % of inodes) is free, or no more is allowed (`text`).",
        FREE,
        who="admin",
        todo="Make room, or raise the quota; work resumes by itself at 1.5 times the reserve.",
        cleared_by=("storage.recovered",),
    ),
    Event(
        "drop.unavailable",
        "error",
        "Drop is missing",
        "A drop, or the mount it lay on, is not there; nothing is concluded from that.",
        {"path": "path", "text": "text"},
        who="admin",
        todo="Mount or make it again, or take a meant change with `watcher check --accept`.",
        cleared_by=("drop.available",),
    ),
    Event(
        "drop.unmatched",
        "info",
        "Path does not fit the layout",
        "Files of this folder go where headers and rules say: the drop's `layout` names no place.",
        {"path": "path", "layout": "text"},
    ),
    Event(
        "drop.degraded",
        "warning",
        "Drop is seen by polling only",
        "Change events can't be had for this drop, or failed; files are still found by looking.",
        {"path": "path", "text": "text"},
        who="admin",
        todo="Raise fs.inotify.max_user_watches, mend the named directory, or set watch = 'poll'.",
        cleared_by=("drop.restored",),
    ),
    Event(
        "drop.readonly",
        "warning",
        "Sources can't be removed",
        "Filed sources can't be removed, each is remembered; or no receipt can be written.",
        {"path": "path", "text": "text", "count": "count"},
        who="admin",
        todo="Give the daemon write permission on the drop, or set after = 'keep'.",
        cleared_by=("drop.writable",),
    ),
    Event(
        "archive.damaged",
        "error",
        "Archived file is missing or changed",
        "An archived file no longer matches the digest in its catalog.",
        {"project": "text", "label": "label", "path": "path", "count": "count", "text": "text"},
        who="data",
        todo="`watcher verify PROJECT/LABEL`; restore from backup, or `watcher refresh` it.",
        cleared_by=("archive.verified",),
    ),
)

# what ends a condition: its message, its meaning, its fields
_SETTLED = {**SESSION, "outcome": "text"}
_EMPTIED = {**FILE, "entry": "id", "outcome": "text", "count": "count"}
_ROOM = {"store": "text", "path": "path", "free": "bytes", "reserve": "bytes", "inodes": "count"}
_SOUND = {"project": "text", "label": "label", "path": "path"}
_PATH = {"path": "path"}
_PATHS = {**_PATH, "count": "count"}
_STORE = {"store": "text", "path": "path"}
_CLEARED: Mapping[str, tuple[str, str, Mapping[str, str]]] = {
    "session.settled": ("Session settled", "Archived, merged, deleted or split.", _SETTLED),
    "file.released": (
        "Stuck file released",
        "It has become whole and was filed, or is gone.",
        _PATHS,
    ),
    "quarantine.settled": ("Quarantine settled", "Requeued, purged, or filed since.", _EMPTIED),
    "reader.available": ("Files can be read again", "Readers start again.", {}),
    "storage.available": ("Store is back", "It is there again, and takes what is written.", _STORE),
    "storage.recovered": ("Store has room again", "There is room, and work has resumed.", _ROOM),
    "drop.available": ("Drop is back", "It is there again and is looked at from the start.", _PATH),
    "drop.restored": ("Drop is watched again", "Change events arrive again.", _PATH),
    "drop.writable": (
        "Sources can be removed again",
        "Filed sources can be removed again.",
        _PATHS,
    ),
    "archive.verified": ("Archived session is sound", "It matches its catalogs again.", _SOUND),
}


def _cleared(name: str) -> Event:
    message, meaning, fields = _CLEARED[name]
    ended = tuple(one.name for one in _RAISED if name in one.cleared_by)
    return Event(name, "info", message, meaning, fields, clears=ended)


EVENTS: Final[Mapping[str, Event]] = MappingProxyType(
    {one.name: one for one in (*_RAISED, *map(_cleared, _CLEARED))}
)


def event(name: str) -> Event:
    """The event of that name; WatcherError where the catalogue has none (a bug of the caller)."""
    try:
        return EVENTS[name]
    except KeyError:
        raise WatcherError(f"no event {name!r} in the catalogue") from None
