"""What a file of a store is: which session, or which entry, it belongs to."""

import os
from typing import Any

from watcher.io.stores import KINDS
from watcher.stages.parts import Parts


def stored(path: str, parts: Parts) -> dict[str, Any] | None:
    """What a file below a store is, as `watcher explain` tells it; None for one in no store."""
    places = [path, os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))]
    for kind in KINDS:
        root = parts.storage.path(kind)
        for place, base in zip(places, (root, os.path.realpath(root)), strict=True):
            if place.startswith(f"{base.rstrip('/')}/"):
                return _told(kind, os.path.relpath(place, base), parts)
    return None


def _told(kind: str, path: str, parts: Parts) -> dict[str, Any]:
    found = {"archive": _archived, "prearchive": _staged}.get(kind, _kept)(kind, path, parts)
    text, hint = found or (f"of the {kind} store; it belongs to no session", "")
    return {"verdict": "stored", "code": kind, "text": text, "hint": hint}


def _archived(_kind: str, path: str, parts: Parts) -> tuple[str, str] | None:
    for shelf in parts.registry.shelved():
        if _is_of(path, f"{shelf.project}/arc001/{shelf.label}"):
            whole = f"{shelf.project}/{shelf.label}"
            return f"of the archived session {whole}", f"watcher show {whole}"
    return None


def _staged(_kind: str, path: str, parts: Parts) -> tuple[str, str] | None:
    for session in parts.ledger.sessions():
        if _is_of(path, session.folder):
            text = f"of the session {session.shown}, {session.status.value}"
            return text, f"watcher show {session.id}"
    return None


def _kept(kind: str, path: str, _parts: Parts) -> tuple[str, str] | None:
    """Of the history or the quarantine: entries are three levels deep."""
    place = path.split("/")
    if kind not in {"history", "quarantine"} or len(place) < 4:
        return None
    entry = "/".join(place[:3])
    return f"of the {kind}'s entry {entry}", f"watcher {kind} show {entry}"


def _is_of(path: str, folder: str) -> bool:
    """Whether a path is below a session's folder, or one of the documents beside it."""
    return path.startswith((f"{folder}/", f"{folder}."))
