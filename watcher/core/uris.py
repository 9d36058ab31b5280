"""Which file of a session a catalog entry may mean (xnat-facts 5.4).

XNAT writes URIs relative to the catalog's folder, raw or percent-encoded; old and foreign catalogs
have absolute paths and `file:` URIs of the machine they came from. URIs are hostile: what would
lead out of the session's folder is no candidate.
"""

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote

from watcher.core.names import NAME_LENGTH

_ABSOLUTE: Final = re.compile(r"/|[A-Za-z][A-Za-z0-9+.-]*:/")
_SCANS: Final = "/SCANS/"


def candidates(uri: str, folder: str) -> tuple[str, ...]:
    """The paths, relative to the session's folder, that a URI may mean; best first.

    `folder` is that of the catalog, relative to the session's ("SCANS/7/DICOM"; empty for a URI of
    the session XML). A relative URI is taken raw, then percent-decoded (as XNAT looks it up); of
    an absolute one the tail from the last `/SCANS/` on, then the base name beside the catalog.
    """
    found = (_inside(path) for text in (uri, decoded(uri)) for path in _meant(text, folder))
    return tuple(dict.fromkeys(path for path in found if path))


def decoded(uri: str) -> str:
    """A URI without percent-encoding; bytes that are no UTF-8 as `os.fsdecode` gives them."""
    return unquote(uri, errors="surrogateescape")


def _meant(uri: str, folder: str) -> Iterator[str]:
    if not _ABSOLUTE.match(uri):
        yield f"{folder}/{uri}"
        return
    _, found, tail = uri.rpartition(_SCANS)
    if found:
        yield f"SCANS/{tail}"
    yield f"{folder}/{uri.rpartition('/')[2]}"


def _inside(path: str) -> str:
    """The path without `.` and `..`; empty where it leaves the folder, or no file can be so named.

    A folder does not become a file: what ends in a slash, or says `.`, names none.
    """
    parts: list[str] = []
    for part in path.split("/"):
        if part == ".." and not parts:
            return ""
        if part == "..":
            parts.pop()
        elif part not in {"", "."}:
            parts.append(part)
    named = path.rpartition("/")[2] not in {"", ".", ".."}
    return "/".join(parts) if named and all(map(_possible, parts)) else ""


def _possible(name: str) -> bool:
    try:
        size = len(name.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        return False
    return size <= NAME_LENGTH and "\0" not in name
