"""What of waiting sessions lies in the archive ahead of its catalogs (spec 7).

`LABEL.ahead.json` beside a session names the files before they are placed, and no longer than they
may lie there: what it does not name is a stray. How they get there and back: ahead.
"""

import json
import os
from collections.abc import Mapping
from typing import Any, Final

from watcher.core import uris
from watcher.core.session import Session
from watcher.io import files
from watcher.stages.parts import Parts

PLAN: Final = "ahead.json"
COARSE: Final = 2_000_000_000  # nanoseconds: the coarsest times of files that a file system keeps

Sent = Mapping[str, str]
"""Digests by where the files lie, relative to the archived session's folder."""


def read(parts: Parts, session: Session) -> Sent:
    """What a session may have in the archive ahead.

    A list that holds none says nothing: what it named is a stray then, which `verify` tells.
    """
    data = files.read_if_there(parts.storage.beside(session, PLAN)) if session.project else None
    try:
        return {} if data is None else _named(json.loads(data))
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _named(values: dict[str, Any]) -> Sent:
    return {
        target: str(digest)
        for target, digest in values["files"].items()
        if target in uris.candidates(target, "")  # nothing leads out of the session's folder
    }


def write(parts: Parts, session: Session, wanted: Sent) -> None:
    """Have the list say this, durably; without any file there is none."""
    path = parts.storage.beside(session, PLAN)
    if wanted:
        values = {"session": session.id, "files": dict(sorted(wanted.items()))}
        files.swap(path, json.dumps(values, indent=1).encode() + b"\n")
    elif files.remove(path):
        files.sync_folders([path])


def is_there(source: str, target: str, digest: str, known: str | None) -> bool:
    """Whether `target` is the file at `source`, or was listed as its copy and looks like it still.

    `known`: the digest it is listed with. What a look can't tell is found when a plan is carried
    out, which reads copies.
    """
    if files.same_inode(source, target):
        return True
    if known != digest:
        return False
    one, other = files.print_of(source), files.print_of(target)
    if one is None or other is None or one.size != other.size:
        return False
    return abs(one.mtime_ns - other.mtime_ns) < COARSE


def ahead_of(parts: Parts, project: str | None, label: str) -> Mapping[str, str]:
    """The files that may lie in an archived session ahead of its catalogs: ids of their sessions.

    By path; the names that files have while they are copied are among them.
    """
    return {
        path: session.id
        for session in parts.ledger.labelled(project, label)
        for target in read(parts, session)
        for path in (target, files.temporary(target))
    }


def is_sent(parts: Parts, session: Session) -> bool:
    """Whether anything of a session may lie ahead."""
    return session.project is not None and os.path.lexists(parts.storage.beside(session, PLAN))
