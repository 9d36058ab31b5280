"""What a receipt is of, and what its file is called: after what was dropped (spec 12).

Names of dropped things are hostile and bytes; those of receipts are read on any system that mounts
the share: no letter that Windows refuses, no control character, no two that differ in case alone.
"""

import hashlib
import re
import unicodedata
from collections.abc import Collection
from typing import Final

from watcher.core.unit import is_packed

LOOSE: Final = b"/"
"""How the key of a day's loose files begins: no name holds a slash."""
LENGTH: Final = 180  # bytes: with a mark, an ending and what makes a name temporary below 255
_REFUSED: Final = re.compile(r'[<>:"/\\|?*\ufffd]')
_DEVICES: Final = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")


def key_of(path: bytes, day: str, *, whole: bool = False) -> bytes:
    """What was dropped: top-level folder or archive of a path in a drop, or a day's loose files.

    `whole`: the path is a unit's own, which may be a folder.
    """
    top, slash, _ = path.partition(b"/")
    if slash or whole or is_packed(top):
        return top
    return LOOSE + day.encode()


def title(key: bytes) -> str:
    """What was dropped, as people call it; bytes that are not UTF-8 are escaped."""
    if key.startswith(LOOSE):
        return f"loose files of {key[1:].decode()}"
    return key.decode("utf-8", "backslashreplace")


def file_name(key: bytes, taken: Collection[str] = ()) -> str:
    """The name of its receipt, without an ending.

    `taken`: those of others in this drop, folded. Where a name would be changed or is taken,
    eight hex digits of its bytes' SHA-256 tell it apart.
    """
    text = key.removeprefix(LOOSE).decode("utf-8", "replace")
    safe = _shortened("".join(map(_fit, text)).lstrip(".").rstrip(". "))
    if safe == text and folded(safe) not in taken and not _DEVICES.fullmatch(safe):
        return safe
    return f"{safe or '_'}-{hashlib.sha256(key).hexdigest()[:8]}"


def folded(name: str) -> str:
    """What a share that ignores case, or composes letters, makes of a name."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def is_key(key: bytes) -> bool:
    """Whether bytes can be a key."""
    day = re.fullmatch(rb"/[0-9]{4}-[0-9]{2}-[0-9]{2}", key)
    return bool(day) or re.fullmatch(rb"[^/\0]+", key) is not None


def is_name_of(name: str, key: bytes) -> bool:
    """Whether a receipt of this may be called so."""
    own = file_name(key)
    return name in {own, file_name(key, {folded(own)})}


def _fit(char: str) -> str:
    return char if char.isprintable() and not _REFUSED.match(char) else "_"


def _shortened(text: str) -> str:
    return text.encode()[:LENGTH].decode("utf-8", "ignore")
