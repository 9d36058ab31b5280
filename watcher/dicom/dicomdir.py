"""A DICOMDIR's records: which files its medium has (PS3.3 annex F, PS3.10 section 8).

Read by our own bounded walk, one record at a time: a large medium has more records than pydicom
can hold, and only six of their elements matter.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from watcher.core.listed import Listed, file_parts, is_sound
from watcher.dicom.stream import (
    ITEM,
    ITEM_END,
    LONGEST,
    SEQUENCE_END,
    UNDEFINED,
    Encoding,
    Fetch,
    HostileError,
    Stream,
    TornError,
)
from watcher.dicom.structure import encodings, preface

RECORDS: Final = 200_000  # in one list; a hard disk of images has a quarter of it
ELEMENTS: Final = 64 * RECORDS
DEPTH: Final = 8  # nested sequences inside a record

_SEQUENCE: Final = 0x00041220  # DirectoryRecordSequence
_NEXT, _IN_USE, _LOWER, _FILE, _SOP = 0x00041400, 0x00041410, 0x00041420, 0x00041500, 0x00041511
_STUDY, _SERIES = 0x0020000D, 0x0020000E
_WANTED: Final = frozenset({_NEXT, _IN_USE, _LOWER, _FILE, _SOP, _STUDY, _SERIES})


@dataclass(frozen=True, slots=True)
class _Record:
    """One directory record. `at`, `next`, `lower`: offsets from the beginning of the file."""

    at: int
    next: int
    lower: int
    used: bool
    study: str
    series: str
    sop: str
    file: str


def read(fetch: Fetch, size: int) -> list[Listed] | None:
    """The files a DICOMDIR of `size` bytes lists; None where it can't be read whole.

    Records that are inactive, that name no file, or one outside the DICOMDIR's folder, or lack a
    sound UID are left out. Raises nothing for what the bytes say; an error of `fetch` passes.
    """
    found = preface(fetch, size)
    if not found.is_dicom or found.deflated or found.torn or found.hostile:
        return None
    stream = Stream(fetch, size, DEPTH, ELEMENTS)
    for encoding in encodings(found.transfer_syntax, stream.fetch(found.start, 6)):
        stream.reset({})
        try:
            records = list(_records(stream, found.start, encoding))
        except (TornError, HostileError):
            continue
        return [each for each in _listed(records) if is_sound(each)]
    return None


# -- the records -----------------------------------------------------------------------------------


def _records(stream: Stream, at: int, encoding: Encoding) -> Iterator[_Record]:
    """Every record, in the order of the file. Raises TornError and HostileError."""
    end, at = _sequence(stream, at, encoding)
    count = 0
    while at < end:
        key, _, length, body = stream.header(at, encoding)
        tag = encoding.tag(key)
        if tag == SEQUENCE_END:
            return
        if tag != ITEM:
            raise TornError("a directory record has no beginning")
        count += 1
        if count > RECORDS:
            raise HostileError("it has more records than the limit")
        last = end if length == UNDEFINED else min(end, body + length)
        values, after = _values(stream, body, last, encoding)
        yield _record(at, values, encoding)
        at = after
    if at > stream.size or end > stream.size:
        raise TornError("the file ends inside its directory records")


def _sequence(stream: Stream, at: int, encoding: Encoding) -> tuple[int, int]:
    """Where the sequence of records ends at the latest, and where it begins."""
    while at < stream.size:
        key, vr, length, body = stream.header(at, encoding)
        tag = encoding.tag(key)
        if tag == _SEQUENCE:
            return (stream.size + 1 if length == UNDEFINED else body + length), body
        at = stream.step(tag, vr, length, body, encoding=encoding, depth=0)
    raise TornError("it has no directory records")


def _values(stream: Stream, at: int, end: int, encoding: Encoding) -> tuple[dict[int, bytes], int]:
    """The wanted values of the record that begins at `at`, and where it ends: `end`, or before."""
    values: dict[int, bytes] = {}
    while at < end:
        key, vr, size, body = stream.header(at, encoding)
        tag = encoding.tag(key)
        if tag == ITEM_END:
            return values, body
        if tag in _WANTED and size <= LONGEST:
            values[tag] = stream.fetch(body, size)
        at = stream.step(tag, vr, size, body, encoding=encoding, depth=0)
    return values, at


def _record(at: int, values: Mapping[int, bytes], encoding: Encoding) -> _Record:
    def text(tag: int) -> str:
        return values.get(tag, b"").decode("latin-1").strip(" \0")

    def number(tag: int, default: int) -> int:
        value = values.get(tag, b"")
        order = "little" if encoding.little else "big"
        return int.from_bytes(value, order) if value else default  # type: ignore[arg-type]  # PEP 586

    return _Record(
        at=at,
        next=number(_NEXT, 0),
        lower=number(_LOWER, 0),
        used=number(_IN_USE, 0xFFFF) != 0,
        study=text(_STUDY),
        series=text(_SERIES),
        sop=text(_SOP),
        file=text(_FILE),
    )


# -- the tree --------------------------------------------------------------------------------------


def _listed(records: list[_Record]) -> Iterator[Listed]:
    """Every referenced file with the study and series above it."""
    parents = _parents(records)
    study = series = ""  # as the records stand one after the other, where nothing says more
    for record in records:
        if record.study:
            study, series = record.study, ""
        series = record.series or series
        if record.file and record.sop and record.used:
            above = _above(record, parents)
            own = above if above != ("", "") else (study, series)
            yield Listed(*own, record.sop, file_parts(record.file))


def _parents(records: list[_Record]) -> dict[int, _Record]:
    """The record above each, by offset: each is met once, whatever hostile offsets say."""
    by_offset = {record.at: record for record in records}
    parents: dict[int, _Record] = {}
    for record in records:
        at = record.lower
        while at and at not in parents and (child := by_offset.get(at)):
            parents[at] = record
            at = child.next
    return parents


def _above(record: _Record, parents: Mapping[int, _Record]) -> tuple[str, str]:
    """Study and series of the records above one; empty where they do not say."""
    study = series = ""
    for _ in range(DEPTH):
        above = parents.get(record.at)
        if above is None:
            break
        study, series, record = study or above.study, series or above.series, above
    return study, series
