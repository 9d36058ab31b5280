"""What becomes of a catalog when its files are looked at again: mended, nothing invented or lost.

A file that no longer matches its digest keeps its entry as it is, and so does one that is gone:
only a person accepts that (spec 11, `refresh`).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from watcher.core.archived import Entry
from watcher.core.listing import entry_of
from watcher.core.session import Instance
from watcher.core.soundness import Item, by_path, size_of

ADDED: Final = "files added"
DROPPED: Final = "double entries removed"
COMPLETED: Final = "entries completed"
FOUND: Final = "files found under another name"
ACCEPTED: Final = "changes accepted"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the files say: digests of those that can be read, instances of those that were asked.

    Both by path relative to the session's folder.
    """

    digests: Mapping[str, str]
    instances: Mapping[str, Instance] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mend:
    """The entries of a catalog as they are to be, and how to come there.

    As for `dicom.catalog.merge`: `drop` are URIs, `replace` is by the URI an entry has now, and
    takes its doubles with it. `accepted`: path and what a person took, where one did.
    """

    entries: tuple[Entry, ...]
    size: int  # bytes that they list
    files: int = 0  # that they list: entries that contradict each other may be of one
    drop: tuple[str, ...] = ()
    replace: Mapping[str, Entry] = field(default_factory=dict)
    add: tuple[Entry, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    accepted: tuple[tuple[str, str], ...] = ()

    @property
    def what(self) -> str:
        """What changes, in words; empty where nothing does."""
        counts = {**self.counts, ACCEPTED: len(self.accepted)}
        return ", ".join(f"{words}: {number}" for words, number in counts.items() if number)


def to_read(items: Sequence[Item], digests: Mapping[str, str], *, accept: bool) -> Iterator[str]:
    """The files whose header is needed: their entry lacks something, or other bytes are taken."""
    for path, some in by_path(items).items():
        best = _best(some, digests.get(path))
        if path in digests and (_is_poor(best) or (accept and not _fits(best, digests[path]))):
            yield path


def mend(
    items: Sequence[Item],
    unlisted: Iterable[str],
    facts: Facts,
    *,
    folder: str,
    series: str,
    accept: bool = False,
) -> Mend:
    """The catalog in `folder`, which lists `items` and not the files `unlisted`.

    Those of `series` (all, where it is not known) are added unless their instance is listed. With
    `accept` what is gone loses its entry, and what has changed gets a new one.
    """
    work = _Work(facts, folder, accept=accept)
    for path, some in by_path(items).items():
        if some[0].print is None:
            work.gone(some)
        else:
            work.there(path, some)
    for path in unlisted:
        instance = facts.instances.get(path)
        if instance is not None and series in {"", instance.header.series}:
            work.unlisted(path, instance)
    return Mend(
        tuple(work.kept.values()),
        sum(work.sizes.values()),
        len(work.sizes),
        tuple(work.drop),
        work.replace,
        tuple(work.add),
        dict(work.counts),
        tuple(work.accepted),
    )


class _Work:
    """A mend while it is made. An entry is known by its path and a number among those of it."""

    def __init__(self, facts: Facts, folder: str, *, accept: bool) -> None:
        self.facts = facts
        self.folder = folder
        self.accept = accept
        self.kept: dict[tuple[str, int], Entry] = {}
        self.sizes: dict[str, int] = {}  # by path
        self.lost: dict[str, tuple[str, int]] = {}  # entries without their file, by SOP UID
        self.known: set[tuple[str, str]] = set()  # SOP instances that are listed, with their class
        self.drop: list[str] = []
        self.replace: dict[str, Entry] = {}
        self.add: list[Entry] = []
        self.counts: Counter[str] = Counter()
        self.accepted: list[tuple[str, str]] = []

    def gone(self, items: Sequence[Item]) -> None:
        if self.accept:
            self.drop += [item.entry.uri for item in items]
            self.accepted.append((items[0].path, "is gone: no longer listed"))
            return
        best = _best(items, None)
        # entries that contradict each other all stay, with whatever shares their URI
        own = {"", best.entry.digest}
        disputed = {each.entry.uri for each in items if each.entry.digest not in own}
        stay = [each for each in items if each is best or each.entry.uri in disputed]
        for number, item in enumerate(stay):
            self._keep(item, item.entry, number)
            if item.entry.uri not in disputed:
                self.lost[item.entry.uid] = (item.path, number)
        others = (each for each in items if each is not best)
        self._drop(best, [each for each in others if each.entry.uri not in disputed])

    def there(self, path: str, items: Sequence[Item]) -> None:
        best = _best(items, self.facts.digests.get(path))
        self._drop(best, [each for each in items if each is not best])
        self._keep(best, self._mended(best))

    def _keep(self, item: Item, entry: Entry, number: int = 0) -> None:
        self._list(item.path, entry, size_of(replace(item, entry=entry)), number)
        if entry != item.entry:
            self.replace[item.entry.uri] = entry

    def _list(self, path: str, entry: Entry, size: int, number: int = 0) -> None:
        self.kept[path, number] = entry
        self.sizes[path] = self.sizes.get(path) or size
        self.known.add((entry.uid, entry.class_uid))

    def _drop(self, best: Item, doubles: Sequence[Item]) -> None:
        own = best.entry.uri
        self.drop += [each.entry.uri for each in doubles if each.entry.uri != own]
        if any(each.entry.uri == own for each in doubles):
            self.replace[own] = best.entry
        self.counts[DROPPED] += len(doubles)

    def _mended(self, item: Item) -> Entry:
        entry, instance = item.entry, self.facts.instances.get(item.path)
        if instance is None:
            return entry
        if not _fits(item, instance.digest):
            return self._renewed(item, instance) if self.accept else entry
        if entry.uid not in {"", instance.header.sop_instance}:
            return entry  # another instance's: for a person to see
        entry = _completed(entry, instance)
        self.counts[COMPLETED] += entry != item.entry
        return entry

    def _renewed(self, item: Item, instance: Instance) -> Entry:
        fresh = entry_of(instance, item.entry.uri)
        was = item.entry.digest or "none"
        self.accepted.append((item.path, f"digest {fresh.digest} accepted, it was {was}"))
        return replace(fresh, id=item.entry.id or fresh.id)

    def unlisted(self, path: str, instance: Instance) -> None:
        entry = entry_of(instance, path.removeprefix(f"{self.folder}/"))
        key = self.lost.get(entry.uid)
        if key is not None and self.kept[key].digest == entry.digest:
            self._found(key, path, entry)
        elif not self.known & {(entry.uid, entry.class_uid), (entry.uid, "")}:
            self._list(path, entry, instance.size)
            self.add.append(entry)
            self.counts[ADDED] += 1

    def _found(self, key: tuple[str, int], path: str, entry: Entry) -> None:
        """A file that lies under another name than its entry says."""
        old = self.kept.pop(key)
        del self.lost[old.uid]
        if not any((key[0], number) in self.kept for number in (0, 1)):
            del self.sizes[key[0]]
        entry = replace(entry, created=old.created or entry.created)
        self._list(path, entry, entry.size or 0)
        self.replace[old.uri] = entry
        self.counts[FOUND] += 1


def _best(items: Sequence[Item], digest: str | None) -> Item:
    """Of several entries of one file: the one that matches its bytes, else one with a digest."""
    return min(items, key=lambda item: (item.entry.digest != digest, not item.entry.digest))


def _fits(item: Item, digest: str) -> bool:
    """Whether the bytes may be those of the entry: by digest, else by size, as far as it says."""
    if item.entry.digest:
        return item.entry.digest == digest
    return item.print is None or item.entry.size in {None, item.print.size}


def _is_poor(item: Item) -> bool:
    entry = item.entry
    wrong = item.print is not None and entry.size != item.print.size
    return wrong or not (entry.uid and entry.class_uid and entry.digest)


def _completed(entry: Entry, instance: Instance) -> Entry:
    """What the entry does not say, from the file; its SIZE is the file's, whose digest fits."""
    whole = entry_of(instance, entry.uri)
    number = whole.instance_number if entry.instance_number is None else entry.instance_number
    return replace(
        entry,
        uid=whole.uid,
        digest=entry.digest or whole.digest,
        size=whole.size,
        class_uid=entry.class_uid or whole.class_uid,
        instance_number=number,
    )
