"""Questions to the reader processes, and their answers as values."""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from watcher.core.errors import StorageError, storage_error
from watcher.core.file import Candidate, Examined, Fingerprint, Header, Refusal, RefusalCode
from watcher.core.policy import DEEPEST, Drop
from watcher.core.settle import Quiet
from watcher.core.tags import tag_of
from watcher.core.unit import is_packed


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole DICOM file."""

    candidate: Candidate
    examined: Examined


def request(
    incoming: str | None,
    drop: Drop,
    candidate: Candidate,
    *,
    tags: Collection[int],
    copy: bool,
    quiet: Quiet = Quiet.LONG,
    filed: bool = False,
) -> dict[str, Any]:
    """What a reader is asked of one file.

    copy: a link would not do; quiet: in full, so that a lease is asked for but not required; for
    long, so that it may have holes; filed: it lies in a store, whatever `[limits]` said then.
    """
    # by process: the reader of a daemon that was killed may still be writing its own
    name = f"{mark(candidate.drop.encode() + bytes(1) + candidate.path)}-{os.getpid()}"
    return {
        "root": drop.path,
        "path": os.fsdecode(candidate.path),
        "incoming": incoming,
        "name": f"{name}.part",
        "link": drop.after == "remove" and not copy,
        "lease": "require" if quiet is Quiet.QUICK else "try",
        "hollow": quiet is Quiet.LONG,
        "filed": filed,
        "tags": sorted(tags),
        "size": candidate.print.size,
        **({"limits": {"depth": DEEPEST}} if filed else {}),
    }


def answer(candidate: Candidate, reply: Mapping[str, Any]) -> Whole | Refusal | StorageError:
    """What a reader said of one file."""
    if "errno" in reply:
        number = int(reply["errno"])
        why, place = OSError(number, os.strerror(number)), reply.get("place", "")
        return storage_error(why, reply["doing"], place)
    if "refusal" in reply:
        code = RefusalCode(reply["refusal"])
        return Refusal(code, reply["text"], reply["hint"], reply.get("sop", ""))
    found = Fingerprint(*reply["print"])
    if not found.same_content(candidate.print):
        return Refusal(RefusalCode.CHANGED, "It changed since it was looked at.")
    values = {tag_of(tag): text for tag, text in reply["values"].items()}
    return Whole(candidate, Examined(found, reply["digest"], Header(values), reply["temp"]))


def mark(path: bytes) -> str:
    """A short name for a path, the same at every try."""
    return sha256(path).hexdigest()[:16]


def is_archive(candidate: Candidate, refusal: Refusal) -> bool:
    """Whether a file that is no DICOM is a unit of them, by its name (spec 7)."""
    ending = is_packed(candidate.path)
    return ending and refusal.code is RefusalCode.NOT_DICOM
