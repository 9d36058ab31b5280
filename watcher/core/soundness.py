"""What is wrong with an archived session, judged from what was found of it (spec 4, `verify`)."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from watcher.core.archived import Entry
from watcher.core.file import Fingerprint

Code = Literal[
    "missing",  # listed, not there
    "changed",  # other bytes than its digest says
    "torn",  # shorter than its SIZE, or a document that can't be parsed
    "unreadable",  # the machine can't read it: nothing can be said of its bytes
    "unlisted",  # an instance, or a catalog, that nothing lists
    "extra",  # anything else that nothing lists
    "twice-listed",  # one file, or one SOP instance, in two entries of a catalog
    "schema",  # a document that XNAT's schemas refuse
    "count",  # counts or sizes that disagree with what is counted
    "pending",  # a file of a session that still receives, ahead of the catalogs
]
Verdict = Literal["ok", "pending", "damaged", "untidy"]
DAMAGE: Final[frozenset[Code]] = frozenset({"missing", "changed", "torn", "unreadable"})


@dataclass(frozen=True, slots=True, order=True)
class Flaw:
    """One thing that is wrong. `path` is relative to the session's folder, or beside it."""

    path: str
    code: Code
    text: str


@dataclass(frozen=True, slots=True)
class Item:
    """An entry of a catalog and its file: where it lies, or should, and as it was seen."""

    entry: Entry
    path: str
    print: Fingerprint | None  # None: there is no such file


@dataclass(frozen=True, slots=True)
class Checked:
    """An archived session, checked. `files` and `bytes` are what its catalogs list and is there."""

    project: str
    label: str
    files: int
    bytes: int
    flaws: tuple[Flaw, ...]

    @property
    def damage(self) -> tuple[Flaw, ...]:
        """The flaws that lost bytes; the others are only untidy."""
        return tuple(flaw for flaw in self.flaws if flaw.code in DAMAGE)

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong: what is only pending will be listed."""
        return all(flaw.code == "pending" for flaw in self.flaws)

    @property
    def verdict(self) -> Verdict:
        """`damaged` where bytes were lost, `untidy` where only documents are wrong."""
        if self.is_sound:
            return "pending" if self.flaws else "ok"
        return "damaged" if self.damage else "untidy"


@dataclass(frozen=True, slots=True)
class Change:
    """A document that was changed, or a file that was accepted. `path` as in `Flaw`."""

    path: str
    what: str


def by_path(items: Iterable[Item]) -> Mapping[str, Sequence[Item]]:
    """The items of each file."""
    found: defaultdict[str, list[Item]] = defaultdict(list)
    for item in items:
        found[item.path].append(item)
    return found


def bytes_flaw(items: Sequence[Item], digest: str) -> Flaw | None:
    """What is wrong with a file that is there; `digest` is that of its bytes.

    Where entries contradict each other, one that fits makes the file sound.
    """
    item = items[0]
    said = {each.entry.digest for each in items if each.entry.digest}
    sizes = {each.entry.size for each in items if each.entry.size is not None}
    size = item.print.size if item.print else 0
    if said:
        if digest not in said:
            return _other_bytes(item.path, size, sizes)
        if sizes and size not in sizes:
            return Flaw(item.path, "count", "its catalog gives another SIZE, but its digest fits")
    elif sizes and size not in sizes:
        return _other_bytes(item.path, size, sizes)
    return None


def _other_bytes(path: str, size: int, sizes: set[int]) -> Flaw:
    if sizes and size < min(sizes):
        return Flaw(path, "torn", f"{size} of {min(sizes)} bytes are there")
    return Flaw(path, "changed", "its bytes are not those its catalog has the digest of")


def listing_flaws(items: Sequence[Item]) -> Iterator[Flaw]:
    """What is wrong with the entries of one catalog among themselves, and files that are gone."""
    for path, several in by_path(items).items():
        if several[0].print is None:
            yield Flaw(path, "missing", "listed, but not there")
        if len(several) > 1:
            yield Flaw(path, "twice-listed", f"{len(several)} entries list this file")
    first: dict[tuple[str, str], str] = {}
    for item in items:
        key = (item.entry.uid, item.entry.class_uid)
        if item.entry.uid and first.setdefault(key, item.path) != item.path:
            yield Flaw(item.path, "twice-listed", "another file is listed as the same instance")


def count_flaws(
    xml: str, where: str, said: tuple[int | None, int | None], items: Sequence[Item]
) -> Iterator[Flaw]:
    """Where the session XML counts other than the catalog; what it does not say is not wrong."""
    for name, claim, real in zip(("files", "bytes"), said, totals(items), strict=True):
        if differs(claim, real):
            text = f"{where}: {claim} {name} by the session XML, {real} by the catalog"
            yield Flaw(xml, "count", text)


def differs(claim: int | None, real: int) -> bool:
    """Whether something is claimed, and it is wrong."""
    return claim not in {None, real}


def totals(items: Iterable[Item]) -> tuple[int, int]:
    """Files and bytes that entries list; a file that is listed twice counts once."""
    files = by_path(items).values()
    return len(files), sum(map(_size_of_all, files))


def _size_of_all(items: Sequence[Item]) -> int:
    """The size of one file by all its entries: the first that says, else what the file has."""
    return size_of(min(items, key=lambda item: item.entry.size is None))


def size_of(item: Item) -> int:
    """What the entry says, else what the file has."""
    if item.entry.size is not None:
        return item.entry.size
    return item.print.size if item.print else 0


def still(first: Iterable[Flaw], second: Iterable[Flaw]) -> tuple[Flaw, ...]:
    """The flaws that a second look, with the documents read anew, finds too.

    What a merge was just doing is over by then, or is something else (spec 11, *Promise*).
    """
    seen = {(flaw.code, flaw.path) for flaw in first}
    return tuple(sorted({flaw for flaw in second if (flaw.code, flaw.path) in seen}))
