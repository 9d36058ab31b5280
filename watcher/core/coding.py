"""Coded identifiers: labels, names, birth dates and paths leave the log as `~1a2b3c4d` (spec 12).

Two nets. A field whose name says that it identifies is coded wherever it stands, and so is its
value in every other text of the same line. What looks like a path, a person's name (PS3.5 6.2,
`DOE^JANE`) or a session's label is coded although no field told of it (core/shapes.py).
XNAT's wording, our own words (core/wording.py), ids and UIDs stay. When in doubt a word is coded:
a log may puzzle, it may not tell.
"""

import hashlib
import hmac
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Final, TypeAlias

from watcher.core import shapes
from watcher.core.session import UNASSIGNED
from watcher.core.wording import WORDS

CODED: Final = re.compile(r"~[0-9a-f]{8}(?!\w)", re.IGNORECASE)
"""A coded value within a text."""

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

_IDENTIFYING: Final = frozenset(
    {
        *("label", "subject", "name", "patient", "operatorsname", "referringphysicianname"),
        *("path", "file", "filename", "folder", "directory", "source", "target", "config"),
        *("unit", "member", "receipt"),
    }
)
_PERSON_ENDS: Final = ("subject", "name", "patient")
_IDENTIFYING_ENDS: Final = (
    *("label", "subject", "path", "folder", "directory"),
    *("patientid", "patientname", "birthdate"),
)
# these hold words of the configuration or of this program, or ids; else they are coded too
_KEPT: Final = frozenset(
    {
        *("event", "timestamp", "level", "project", "drop", "store", "code", "severity"),
        *("status", "verdict", "who", "outcome", "before", "after", "sink", "entry"),
        *("part", "trace", "layout"),
    }
)
_COMPARED: Final = frozenset({"same", "differs", "missing"})  # evidence, not the value itself
_UIDS: Final = frozenset({"study", "series", "sop", "uid"})


def _bare(name: str) -> str:
    return name.casefold().replace("_", "").replace("-", "").removesuffix("s")


def identifying(name: str) -> bool:
    """Whether a field of this name holds a label, a person's name, a birth date or a path."""
    bare = _bare(name)
    return bare in _IDENTIFYING or bare.endswith(_IDENTIFYING_ENDS)


def _is_plain(name: str, value: Json) -> bool:
    """Whether the leaf can't tell anything: nothing, a flag, a comparison, how many."""
    if isinstance(value, str):
        return not value or value in _COMPARED
    return value is None or isinstance(value, bool) or name.endswith("s")


def _leaves(value: Json, name: str = "") -> Iterator[tuple[str, str]]:
    """Every (field, text) at or below the value.

    What lies below a field that identifies is of that field, the keys of a table too.
    """
    if isinstance(value, dict):
        for key, below in value.items():
            if identifying(name):
                yield name, key
            yield from _leaves(below, name if identifying(name) else key)
    elif isinstance(value, list):
        for below in value:
            yield from _leaves(below, name)
    elif not _is_plain(name, value):
        yield name, str(value)


def _parts(name: str, text: str) -> Iterator[str]:
    """A value, the names along a path, and the words of a person's name in their usual cases."""
    yield text
    for part in text.split("/"):
        yield part
        yield part.rsplit(".", 1)[0]
    if _bare(name).endswith(_PERSON_ENDS):
        for word in re.split(r"[\^=_\s,]+", text):
            if len(word) > 2 and word.isalpha():
                yield from (word, word.lower(), word.upper(), word.capitalize())


def _scan(text: str) -> str:
    """What a scan is called, where that is no number or UID as it should be; else nothing."""
    name = text.removeprefix("scan ")
    return "" if name in {text, *WORDS} or shapes.SCANS.fullmatch(name) else name


def _find(text: str, word: str, start: int) -> int:
    """Where the word next stands alone, no letter or digit beside it; -1: nowhere."""
    at = text.find(word, start)
    while at >= 0 and (
        text[at - 1 : at].isalnum() or text[at + len(word) : at + len(word) + 1].isalnum()
    ):
        at = text.find(word, at + 1)
    return at


def _below(text: str, end: int) -> int:
    """Where a path ends that begins with the word ending here."""
    rest = shapes.BELOW.match(text, end)
    return rest.end() if rest else end


class Coder:
    """Codes with one key: HMAC-SHA-256, the first eight hex digits.

    `names` are the projects and drops that are configured: what else stands for one is a folder's
    name, and is coded. None: all of them stay.
    """

    def __init__(self, key: bytes, names: Collection[str] | None = None) -> None:
        self._key = key
        self._names = None if names is None else {*names, UNASSIGNED, ""}

    def code(self, text: str) -> str:
        """`~` and eight hex digits; the same for the same text and key."""
        # surrogatepass: names of files need not be UTF-8
        raw = text.encode("utf-8", "surrogatepass")
        return "~" + hmac.new(self._key, raw, hashlib.sha256).hexdigest()[:8]

    def matches(self, coded: str, candidate: str) -> bool:
        """Whether the coded value may stand for the candidate (one in 2**32 does by chance)."""
        return coded.strip().casefold() == self.code(candidate)

    def line(self, fields: Mapping[str, Json]) -> dict[str, Json]:
        """The fields of one line, coded."""
        line = _Line(self, self._secrets(fields))
        return {name: line.value(name, value) for name, value in fields.items()}

    def is_foreign(self, name: str, text: str) -> bool:
        """Whether somebody else's word stands where a project, drop, entry's id or UID should."""
        if name in {"project", "drop"}:
            return self._names is not None and text not in self._names
        if name == "entry":
            return bool(text) and shapes.ASIDE.fullmatch(text) is None
        return name in _UIDS and shapes.UIDS.fullmatch(text) is None

    def _secrets(self, line: Mapping[str, Json]) -> frozenset[str]:
        told = [(name, text, self.is_foreign(name, text)) for name, text in _leaves(dict(line))]
        plain = {text for name, text, foreign in told if name in _KEPT and not foreign}
        hidden = [(name, text) for name, text, foreign in told if foreign or identifying(name)]
        parts = {part for name, text in hidden for part in _parts(name, text)}
        parts |= {_scan(text) for name, text, _ in told if name == "scope"}
        plain |= shapes.LAYOUT | _COMPARED | WORDS
        return frozenset(part for part in parts - plain if len(part) > 1)

    def whole(self, fields: Mapping[str, Json], names: Collection[str]) -> dict[str, Json]:
        """The same with these coded as a whole: what a person typed may be anything."""
        typed = {name: self.code(str(fields[name])) for name in names if fields.get(name)}
        return self.line({name: one for name, one in fields.items() if name not in typed}) | typed


class _Line:
    """One line under way: what of it is secret."""

    def __init__(self, coder: Coder, secrets: frozenset[str]) -> None:
        self._coder = coder
        self._secrets = secrets

    def table(self, fields: Mapping[str, Json]) -> dict[str, Json]:
        return {self.text(key): self.value(key, value) for key, value in fields.items()}

    def value(self, name: str, value: Json) -> Json:
        if isinstance(value, list):
            return [self.value(name, below) for below in value]
        if identifying(name):
            return self._hidden(name, value)
        if isinstance(value, dict):
            return self.table(value)
        return self._shown(name, value) if isinstance(value, str) else value

    def _hidden(self, name: str, value: Json) -> Json:
        if isinstance(value, dict):
            return {self._coder.code(key): self.value(name, one) for key, one in value.items()}
        return value if _is_plain(name, value) else self._coder.code(str(value))

    def _shown(self, name: str, text: str) -> str:
        if self._coder.is_foreign(name, text):
            return self._coder.code(text)
        if name in _KEPT:
            return text
        if name == "key" and (key := shapes.KEY.fullmatch(text)):
            return text if key["fixed"] else self._key(key)
        if name == "session" and text and not shapes.SESSION.fullmatch(text):
            return self._coder.code(text)  # a label where an id should be
        if name == "scope" and text.startswith("file "):
            return f"file {self._coder.code(text.removeprefix('file '))}"
        return self.text(text)

    def _key(self, key: re.Match[str]) -> str:
        head = key["head"]
        if head.startswith("archive/") and self._coder.is_foreign("project", head[8:-1]):
            head = f"archive/{self._coder.code(head[8:-1])}/"
        return f"{head}{self._coder.code(key['tail'])}{key['xml'] or ''}"

    def text(self, text: str) -> str:
        """A free text, coded: one pass from the left."""
        done, at = "", 0
        while True:
            shape, (start, word) = shapes.SHAPE.search(text, at), self._secret(text, at)
            if shape and not self._before(start, word, shape):
                end = self._reach(text, shape) if start < shape.end() else shape.end()
                done += text[at : shape.start()] + self._shape(text, shape, end)
                at = end
            elif word:
                end = start + len(word)
                done += text[at:start] + self._coder.code(text[start : _below(text, end)])
                at = _below(text, end)
            else:
                return done + text[at:]

    def _secret(self, text: str, start: int) -> tuple[int, str]:
        """The first secret from there on, the longest of those that begin at one place."""
        found = [(_find(text, word, start), -len(word), word) for word in self._secrets]
        at, _, word = min((hit for hit in found if hit[0] >= 0), default=(len(text), 0, ""))
        return at, word

    @staticmethod
    def _before(start: int, word: str, shape: re.Match[str]) -> bool:
        """Whether the secret goes first: it begins earlier, or reaches as far."""
        if not word or start != shape.start():
            return bool(word) and start < shape.start()
        return shape["head"] is None and len(word) >= len(shape[0])

    def _reach(self, text: str, shape: re.Match[str]) -> int:
        """Where a shape ends, with the secret that begins in it and goes on: names have blanks."""
        ends = [shape.end()]
        for word in self._secrets:
            at = _find(text, word, shape.start())
            while 0 <= at < shape.end():
                ends.append(at + len(word))
                at = _find(text, word, at + 1)
        return max(ends)

    def _shape(self, text: str, shape: re.Match[str], end: int) -> str:
        """A shape that ends there, coded."""
        if end > shape.end():
            start = shape.end("head") if shape["head"] is not None else shape.start()
            return self._ours(text[shape.start() : start]) + self._coder.code(text[start:end])
        if shape["stays"] is not None:
            return self._ours(shape["stays"])
        if shape["head"] is not None:
            return self._ours(shape["head"]) + self._tail(shape["head"], shape["tail"])
        if shape["shell"] is not None:
            return self._word(shape["shell"])
        if shape["mark"] is not None:
            return shape["mark"] + self._quoted(shape["quoted"]) + shape["mark"]
        return self._coder.code(shape[0])

    def _ours(self, text: str) -> str:
        """What stays of a shape, but for a project that nobody configured."""

        def project(found: re.Match[str]) -> str:
            stays = found[0] in shapes.PLACEHOLDERS
            is_foreign = self._coder.is_foreign("project", found[0])
            return self._coder.code(found[0]) if is_foreign and not stays else found[0]

        return shapes.PROJECT.sub(project, text)

    def _tail(self, head: str, tail: str) -> str:
        bare = _unquoted(tail)
        if head.endswith(("scan ", "scan (", "scan=")):
            return self._coder.code(bare) if _scan(f"scan {bare}") else tail
        is_placeholder = len(bare) < 2 or bare in shapes.PLACEHOLDERS or bare.startswith("~")
        return tail if is_placeholder else self._coder.code(bare)

    def _word(self, word: str) -> str:
        """A word of a command, in the quotes it needs."""
        bare = _unquoted(word)
        coded = self._quoted(bare)
        return word if coded == bare else f"'{coded}'"

    def _quoted(self, inner: str) -> str:
        is_path = "/" in inner and not shapes.SPEAKS.match(inner)
        return self._coder.code(inner) if is_path else self.text(inner)


def _unquoted(word: str) -> str:
    """What a quoted word stands for."""
    if word.startswith("'"):
        return word[1:-1].replace("'\"'\"'", "'")
    return word.strip('"')
