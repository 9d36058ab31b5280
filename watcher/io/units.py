"""The systemd units that are installed and start this program on a configuration.

Unit files and their drop-ins as systemd.unit(5) and systemd.syntax(7) have them; of two units of
one name that of the first folder counts. Of a template those instances count that are enabled,
have drop-ins, or run. Nothing is asked of systemd.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from watcher.core.errors import StorageError
from watcher.io import files

FOLDERS: Final = (
    *("/etc/systemd/system.control", "/run/systemd/system.control"),  # by `set-property`
    *("/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system"),
    *("/usr/lib/systemd/system", "/lib/systemd/system"),
)
RUNNING: Final = "/run/systemd/units"  # a link `invocation:NAME` for each unit that runs
WANTED: Final = (".wants", ".requires", ".upholds")
TOPS: Final = {
    "StateDirectory": "/var/lib",
    "LogsDirectory": "/var/log",
    "RuntimeDirectory": "/run",
    "CacheDirectory": "/var/cache",
}
NAME: Final = re.compile(r"watcher[\w.-]*@?\.service")
_QUOTES: Final = r""""((?:\\.|[^"\\])*)"|'((?:\\.|[^'\\])*)'|\\(.)"""
_PART: Final = re.compile(_QUOTES)
_WORD: Final = re.compile(rf"(?:{_QUOTES}|\S)+")
_SPECIFIER: Final = re.compile(r"(%.)")
_INSTANCE: Final = frozenset({"%i", "%I"})
_KNOWN: Final = {
    "%%": "%",
    "%E": "/etc",
    **dict(zip(("%S", "%L", "%t", "%C"), TOPS.values(), strict=True)),
}


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit's name and the values of its [Service], each as often as it was set."""

    name: str
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def last(self, key: str) -> str:
        """The value that counts of a key that has one; empty where it is not set."""
        return self._specified((self.values.get(key) or ("",))[-1])

    def paths(self, key: str) -> tuple[str, ...]:
        """All paths of a key, without the marks before them (`-`, `+`)."""
        words = (word for value in self.values.get(key, ()) for word in _words(value))
        return tuple(self._specified(word).lstrip("-+") for word in words)

    def made(self) -> tuple[str, ...]:
        """The folders systemd makes for it."""
        names = ((top, name) for key, top in TOPS.items() for name in self.paths(key))
        return tuple(f"{top}/{name.partition(':')[0]}" for top, name in names)

    def _specified(self, text: str) -> str:
        """A text with the specifiers that are known without systemd; others stay as they are."""
        prefix, _, instance = self.name.removesuffix(".service").partition("@")
        own = {"%i": instance, "%I": instance, "%p": prefix, "%n": self.name}
        return _SPECIFIER.sub(lambda found: (_KNOWN | own).get(found[1], found[1]), text)


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
        if hit := re.fullmatch("".join(map(_pattern, _SPECIFIER.split(word))), config):
            own = name.replace("@.", f"@{hit[1]}.") if hit.groups() else name
            if own != name and not _is_installed(own):
                return None
            for text in _drop_ins({name, own}):
                _add(values, text)
            return Unit(own, values)
    return None


def _pattern(part: str) -> str:
    """What a part of a word matches: a specifier, or what stands between two."""
    return "([^/]+)" if part in _INSTANCE else re.escape(_KNOWN.get(part, part))


def _is_installed(instance: str) -> bool:
    """Whether an instance of a template is meant to run, or does."""
    links = [os.path.join(RUNNING, f"invocation:{instance}")]
    for folder in FOLDERS:
        links.append(os.path.join(folder, f"{instance}.d"))
        wanting = (name for name in _names(folder) if name.endswith(WANTED))
        links += [os.path.join(folder, name, instance) for name in wanting]
    return any(map(os.path.lexists, links))


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
    """The words of a value; quotes and escapes resolved."""
    return [_PART.sub(_plain, word[0]) for word in _WORD.finditer(value)]


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
