"""The systemd units that are installed and start this program on a configuration.

Unit files and their drop-ins as systemd.unit(5) and systemd.syntax(7) have them; of two units of
one name that of the first folder counts. Nothing is asked of systemd.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from watcher.core.errors import StorageError
from watcher.io import files

FOLDERS: Final = (
    *("/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system"),
    *("/usr/lib/systemd/system", "/lib/systemd/system"),
)
NAME: Final = re.compile(r"watcher[\w.-]*@?\.service")
_QUOTES: Final = r""""((?:\\.|[^"\\])*)"|'((?:\\.|[^'\\])*)'|\\(.)"""
_PART: Final = re.compile(_QUOTES)
_WORD: Final = re.compile(rf"(?:{_QUOTES}|\S)+")
_INSTANCE: Final = re.compile(r"%[iI]")


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit's name and the values of its [Service], each as often as it was set."""

    name: str
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def last(self, key: str) -> str:
        """The value that counts of a key that has one; empty where it is not set."""
        return (self.values.get(key) or ("",))[-1]

    def paths(self, key: str) -> tuple[str, ...]:
        """All paths of a key, without the marks before them (`-`, `+`)."""
        words = (word for value in self.values.get(key, ()) for word in _words(value))
        return tuple(word.lstrip("-+") for word in words)


def units_of(config: str) -> list[Unit]:
    """The units whose ExecStart runs the daemon with this configuration, absolute."""
    found: dict[str, Unit] = {}
    for folder in FOLDERS:
        for name in filter(NAME.fullmatch, _names(folder)):
            if unit := _unit(folder, name, config):
                found.setdefault(unit.name, unit)
    return list(found.values())


def _unit(folder: str, name: str, config: str) -> Unit | None:
    values: dict[str, tuple[str, ...]] = {}
    _add(values, _text(os.path.join(folder, name)))
    words = _words(" ".join(values.get("ExecStart", ())))
    for word in words if "run" in words else ():  # `verify` by a timer needs no store to write to
        pattern = "([^/]+)".join(map(re.escape, _INSTANCE.split(word)))
        if hit := re.fullmatch(pattern, config):
            own = name.replace("@.", f"@{hit[1]}.") if hit.groups() else name
            for text in _drop_ins({name, own}):
                _add(values, text)
            return Unit(own, values)
    return None


def _drop_ins(names: set[str]) -> Iterator[str]:
    """The texts of the drop-ins of these units, by their names; the first folder's of each."""
    found: dict[str, str] = {}
    for folder in FOLDERS:
        for name in names:
            beside = os.path.join(folder, f"{name}.d")
            for each in _names(beside):
                if each.endswith(".conf"):
                    found.setdefault(each, os.path.join(beside, each))
    yield from (_text(found[name]) for name in sorted(found))


def _add(values: dict[str, tuple[str, ...]], text: str) -> None:
    """The settings of [Service] in a text; an empty one takes back those before it."""
    section = ""
    for line in re.sub(r"\\\n", " ", text).splitlines():
        key, equals, value = line.strip().partition("=")
        if line.startswith("["):
            section = line.strip()
        elif equals and section == "[Service]" and not key.startswith(("#", ";")):
            key, value = key.strip(), value.strip()
            values[key] = (*values.get(key, ()), value) if value else ()


def _words(value: str) -> list[str]:
    """The words of a value; quotes, escapes and `%%` resolved."""
    found = (_PART.sub(_plain, word[0]) for word in _WORD.finditer(value))
    return [word.replace("%%", "%") for word in found]


def _plain(found: re.Match[str]) -> str:
    """What stands in quotes, or behind a backslash."""
    quoted, bare = found[1] or found[2], found[3]
    return bare or re.sub(r"\\(.)", r"\1", quoted or "")


def _names(folder: str) -> list[str]:
    """What is in a folder; nothing where there is none, or this user may not read it."""
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _text(path: str) -> str:
    """A unit's text; empty where this user may not read it."""
    try:
        return (files.read_if_there(path) or b"").decode("utf-8", "replace")
    except StorageError:
        return ""
