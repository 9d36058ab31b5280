"""Coded identifiers: labels, names, birth dates and paths leave the log as `~1a2b3c4d` (spec 12).

Two nets. A field whose name says that it identifies is coded wherever it stands, and so is its
value in every other text of the same line. What looks like a path, a person's name (PS3.5 6.2,
`DOE^JANE`) or a session's label is coded although no field told of it.
XNAT's wording, our own words (core/wording.py), ids and UIDs stay. When in doubt a word is coded:
a log may puzzle, it may not tell.
"""

import hashlib
import hmac
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Final, TypeAlias

from watcher.core.wording import NAMES, WORDS

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
# these hold words of the configuration or of this program
_KEPT: Final = frozenset(
    {
        *("event", "timestamp", "level", "project", "drop", "store", "code", "severity"),
        *("status", "verdict", "who", "outcome", "before", "after", "sink", "entry"),
        *("part", "trace"),
    }
)
_COMPARED: Final = frozenset({"same", "differs", "missing"})  # evidence, not the value itself
_LAYOUT: Final = frozenset(  # directories of our own, said in hints and texts
    {"SCANS", "DICOM", "secondary", "RECEIPTS", "watcher", "prearchive", "archive", "quarantine"}
    | {"history", "state", "status"}
)
_PLACEHOLDERS: Final = frozenset({"LABEL", "SUBJECT", "NAME", "PROJECT", "PROJECT/LABEL", "..."})
_WORDING: Final = (  # XNAT's, and ours in its manner (spec 10)
    "Merging different StudyInstanceUIDs may affect data integrity",
    "Cannot merge sessions with different Study Instance UIDs",
    "Invalid modification of session subject via archive process.",
    "Invalid modification of session UID via archive process.",
    "UID conflict detected during archiving",
    "Session upload failed",
)
_NAMES: Final = "|".join(sorted(map(re.escape, NAMES), key=len, reverse=True))
_ID: Final = r"\d{8}_\d{9}(?:_\d+)?"
_ENTRY: Final = rf"{_ID}-(?:{_NAMES})"  # of the quarantine, set aside by archiving
_KEY: Final = re.compile(  # what a condition is of: only a label, or a path's mark, tells something
    rf"(?P<fixed>session/{_ID}|quarantine/(?:{_ENTRY}|(?:aside-|unit-)?[0-9a-f]{{12}})"
    r"|(?:drop|mount|watch|unreadable|store|storage|low|crowd|refuses|failing)/.+|readers)"
    r"|(?P<head>archive/[\w-]+/|(?:file|readonly)/.+/)(?P<tail>[^/]+?)(?P<xml>\.xml)?"
)
_SPEAKS: Final = re.compile(rf"watcher |https?:|(?:[\w-]+/)?{_ID}(?:/|$)")
_SESSION: Final = re.compile(rf"(?:[\w-]+/)?{_ID}(?:/.*)?", re.DOTALL)
_WORD: Final = r"[^\s\"'<>`]"
_LAST: Final = r"[^\s\"'<>`.,:;)\]]"
# Shapes begin at the start of a word only, so that the search stays linear in hostile text.
_START: Final = r"(?<![^\s\"'<>`:,;=(\[])"
_PART: Final = r"[^\s\"'<>`:,;=(\[/]+"
# wording, coded values, session ids, experiment IDs, UIDs and numbers, options and commands
_STAYS: Final = "|".join(
    (
        *map(re.escape, _WORDING),
        rf"(?<!\w){_ENTRY}(?![\w/^-]|\.\w)|(?<![\w.~/-])(?:{_NAMES})(?![\w/^-]|\.\w)",
        rf"~[0-9a-f]{{8}}(?!\w)|(?<![\w./-])[\w-]+/{_ID}(?![\w/])|(?<!\w){_ID}(?![\w/])",
        r"(?<!\w)W_E[0-9a-f]{12}(?!\w)",
        r"(?<![\w.])\d+(?:\.\d+)+(?!\w)|(?<!\w)\d+/(?:\d+|s|min|h)(?![\w/])|(?<!\w)and/or",
        r"(?<!\S)--[a-z]+(?![\w-])|(?<!\w)watcher [a-z]+(?!\w)",
    )
)
_HEADS: Final = "|".join(
    (
        rf"(?<![\w./-])(?:[\w-]+/)?{_ID}/",
        rf"(?<!\w)watcher [a-z]+ [\w-]+/(?!{_ID})",
        r"(?<!\S)--(?:session|subject)[ =]",
    )
)
_PATHS: Final = "|".join(
    (
        rf"(?<![\w/.~])(?<!http:)(?<!https:)/{_WORD}*{_LAST}",
        rf"{_START}{_PART}(?:/{_PART})+",
        rf"{_START}{_PART}\.(?i:dcm|ima|dicom|zip|tar|tgz|gz)(?!\w)",
    )
)
# In this order: at one place the first that fits is taken. `head` stays, its tail is coded.
_SHAPE: Final = re.compile(
    "|".join(
        (
            rf"(?P<head>{_HEADS})(?P<tail>\"[^\"]*\"|{_WORD}*{_LAST})",
            rf"(?P<stays>{_STAYS})",
            r"(?P<mark>(?<!\w)[\"'`])(?P<quoted>[^\"'`\n]*)(?P=mark)",
            rf"(?P<path>{_PATHS})",
            rf"(?P<person>{_START}{_PART}\^{_WORD}*)",
        )
    )
)
_BELOW: Final = re.compile(rf"(?:/{_PART})+")


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


def _secrets(line: Mapping[str, Json]) -> frozenset[str]:
    told = list(_leaves(dict(line)))
    plain = {text for name, text in told if name in _KEPT} | _LAYOUT | _COMPARED | WORDS
    parts = {part for name, text in told if identifying(name) for part in _parts(name, text)}
    return frozenset(part for part in parts - plain if len(part) > 1)


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
    rest = _BELOW.match(text, end)
    return rest.end() if rest else end


class Coder:
    """Codes with one key: HMAC-SHA-256, the first eight hex digits."""

    def __init__(self, key: bytes) -> None:
        self._key = key

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
        line = _Line(self, _secrets(fields))
        return {name: line.value(name, value) for name, value in fields.items()}

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
        if name in _KEPT:
            return text
        if name == "key" and (key := _KEY.fullmatch(text)):
            return text if key["fixed"] else self._key(key)
        if name == "session" and text and not _SESSION.fullmatch(text):
            return self._coder.code(text)  # a label where an id should be
        if name == "scope" and text.startswith("file "):
            return f"file {self._coder.code(text.removeprefix('file '))}"
        return self.text(text)

    def _key(self, key: re.Match[str]) -> str:
        return f"{key['head']}{self._coder.code(key['tail'])}{key['xml'] or ''}"

    def text(self, text: str) -> str:
        """A free text, coded: one pass from the left."""
        done, at = "", 0
        while True:
            shape, (start, word) = _SHAPE.search(text, at), self._secret(text, at)
            if shape and not self._before(start, word, shape):
                done += text[at : shape.start()] + self._shape(shape)
                at = shape.end()
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

    def _shape(self, shape: re.Match[str]) -> str:
        if shape["stays"] is not None:
            return shape["stays"]
        if shape["head"] is not None:
            return shape["head"] + self._tail(shape["tail"])
        if shape["mark"] is not None:
            return shape["mark"] + self._quoted(shape["quoted"]) + shape["mark"]
        return self._coder.code(shape[0])

    def _tail(self, tail: str) -> str:
        bare = tail.strip('"')
        is_placeholder = len(bare) < 2 or bare in _PLACEHOLDERS or bare.startswith("~")
        return tail if is_placeholder else self._coder.code(bare)

    def _quoted(self, inner: str) -> str:
        is_path = "/" in inner and not _SPEAKS.match(inner)
        return self._coder.code(inner) if is_path else self.text(inner)
