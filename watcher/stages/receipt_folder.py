"""The folder of receipts of one drop, in one pass; what the drop refuses is said once.

It is entered for each step anew: a drop may go meanwhile.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from watcher.core.errors import MissingPlaceError, StorageError
from watcher.core.policy import Drop
from watcher.core.receipt_names import folded
from watcher.io import descent, receipts
from watcher.io.ignore import RECEIPTS
from watcher.io.receipt_index import Known
from watcher.report import receipt as report
from watcher.stages.parts import Parts
from watcher.stages.presence import check_mount

Identity = tuple[int, int] | None

PAGE: Final = 50  # documents that are read together: each may be receipts.LONGEST
MOST: Final = 10_000  # that are read at all
TEXT, JSON = ".txt", ".json"
KEY: Final = "receipts/"  # begins the key of what is said of them


class Target(NamedTuple):
    """A receipt to be written, or to be removed where there is nothing to tell."""

    known: Known
    told: Mapping[str, Any]
    digest: str = ""

    def called(self, file: str | None) -> "Target":
        """The same, with this name."""
        return self._replace(known=self.known._replace(file=file))

    @property
    def settled(self) -> bool:
        """Whether it is the last word, unless something comes."""
        return not self.told or bool(self.told["settled"])

    @property
    def lasts(self) -> bool:
        """Whether it is written now and never again: it must be durable."""
        return bool(self.told) and self.settled


@dataclass
class Folder:
    """`identity`: the drop's device and inode as it was looked at."""

    parts: Parts
    drop: Drop
    identity: Identity
    failed: bool = False  # it could not be entered
    _refused: StorageError | None = None

    def put(self, targets: Sequence[Target]) -> list[Target]:
        """Write or remove these, until the program ends; gives those that could be done."""
        done: list[Target] = []
        self._enter(lambda here: self._put(here, targets, done), make=any(t.told for t in targets))
        return done

    def _put(self, here: int | None, targets: Sequence[Target], done: list[Target]) -> None:
        made = self.parts.clock.now()
        if here is None:
            done += (each for each in targets if not each.told)
            return
        for each in targets:
            if self.parts.stopping.is_set():
                break
            try:
                _put(here, each, made)
            except StorageError as error:  # of this one: the others go on
                self._refused = error
            else:
                done.append(each)
        if any(each.lasts for each in done):
            self._sync(here, done)

    def _sync(self, here: int, done: list[Target]) -> None:
        files = [each.known.file for each in done if each.lasts]
        try:
            receipts.sync(here, [f"{file}{ending}" for file in files for ending in (TEXT, JSON)])
        except StorageError:
            done[:] = [each for each in done if not each.lasts]
            raise

    def documents(self) -> Iterator[Mapping[str, bytes]]:
        """What lies there that may be receipts, some at a time; by name without `.json`."""
        names = [each for each in self._names() if each.endswith(JSON)][:MOST]
        for at in range(0, len(names), PAGE):
            page: dict[str, bytes] = {}
            self._enter(_reading(names[at : at + PAGE], page), make=False)
            if self.failed:
                return
            yield page

    def names(self) -> set[str]:
        """What receipts must not be called, as something lies there that is called so; folded."""
        return {folded(each.removesuffix(TEXT).removesuffix(JSON)) for each in self._names()}

    def _names(self) -> list[str]:
        found: list[str] = []

        def look(here: int | None) -> None:
            found.extend(receipts.names(here) if here is not None else ())

        self._enter(look, make=False)
        return found

    def prune(self) -> None:
        """Remove it, if it is empty."""

        def remove(_here: int | None) -> None:
            descent.prune(self.drop.path, [RECEIPTS.encode()])

        self._enter(remove, make=False)

    def _enter(self, work: Callable[[int | None], None], *, make: bool) -> None:
        """Work in it; None: it is not there. A drop that is not there is told of by its eyes."""
        try:
            check_mount(self.parts, self.drop)
        except MissingPlaceError:
            self.failed = True
            return
        try:
            with receipts.folder(self.drop.path, self.identity, make=make) as here:
                work(here)
        except MissingPlaceError:
            self.failed = True
        except StorageError as error:
            self.failed, self._refused = True, error

    def say(self) -> None:
        """Say once what the drop refused, and once that it does no more."""
        key, where = f"{KEY}{self.drop.name}", {"drop": self.drop.name, "path": RECEIPTS}
        if self._refused is None:
            if not (self.failed or self.parts.stopping.is_set()):
                self.parts.conditions.clear("drop.writable", key, **where)
            return
        of_sources = f"readonly/{self.drop.name}/"  # they can't be removed either: that is said
        if not any(each.startswith(of_sources) for each in self.parts.conditions.open()):
            self.parts.conditions.raise_(
                "drop.readonly",
                key,
                self.parts.clock.now(),
                **where,
                text=str(self._refused),
                message="Receipts can't be written",
                hint="let the daemon's user write to the drop, or set receipts = false",
            )


def clear_others(parts: Parts, drops: Collection[str]) -> None:
    """Nothing is refused of drops other than these: they have no receipts any more."""
    for key in parts.conditions.open():
        name = key.removeprefix(KEY)
        if key != name and name not in drops:
            parts.conditions.clear("drop.writable", key, drop=name, path=RECEIPTS)


def _reading(names: Sequence[str], page: dict[str, bytes]) -> Callable[[int | None], None]:
    def read(here: int | None) -> None:
        page.update(receipts.written(here, names) if here is not None else {})

    return read


def _put(here: int, target: Target, made: float) -> None:
    file, told = target.known.file, target.told
    if told:
        receipts.write(here, f"{file}{TEXT}", report.as_text(told, made))
        receipts.write(here, f"{file}{JSON}", report.as_json(told, made))
    elif file is not None:
        receipts.remove(here, f"{file}{TEXT}")
        receipts.remove(here, f"{file}{JSON}")
