"""The plan of an archiving, as it is written down beside the session before anything is done.

`LABEL.plan.json` says which files go where, which are dropped because the archive has them, which
go to quarantine or history, and what each catalog and the session XML become. It can be read by a
person; how it is carried out: carrying.
"""

import gzip
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from io import BytesIO
from typing import Any, Final

from watcher.core.archived import Entry
from watcher.core.errors import DocumentError, RefusedError
from watcher.core.file import Fingerprint
from watcher.core.record import finding_of, finding_values, known, session_of, session_values
from watcher.core.session import Finding, Session
from watcher.dicom import catalog
from watcher.io import files
from watcher.stages.documents import Next
from watcher.stages.parts import Parts

PLAN: Final = "plan.json"
SAME: Final = "same-instance"


class OutdatedError(RefusedError):
    """The facts are others than when the plan was made: a new plan is needed."""

    permanent = False


@dataclass(frozen=True, slots=True)
class Carry:
    """A file that goes from the prearchive session's folder to the archived one's.

    Nearly all keep their places: `of` has one text for both then, and the plan only `source`.
    """

    source: str
    target: str
    digest: str

    @classmethod
    def of(cls, source: str, target: str, digest: str) -> "Carry":
        """A file, with what is alike kept once."""
        return cls(source, source if target == source else target, digest)


@dataclass(frozen=True, slots=True)
class Drop:
    """A file that is not merged, because the archive has it in `target`."""

    source: str
    target: str
    digest: str


@dataclass(frozen=True, slots=True)
class Aside:
    """A file of the prearchive session that goes to another store; `target` is relative to that."""

    source: str
    store: str  # quarantine or history
    target: str
    because: str  # other-class, stray-file, keep, overwrite
    digest: str  # empty for a stray


@dataclass(frozen=True, slots=True)
class Retire:
    """A file of the archived session that goes to the history once the documents are swapped.

    `kept`: it is a document that is swapped; only what it was goes to the history, before.
    """

    path: str  # relative to the archived session's folder
    target: str  # relative to the history
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Swap:
    """A document's next contents: `text`, or what is there with entries added and replaced.

    Digests are SHA-256; `before` is empty where there was none. A catalog that gains a file is not
    written down again: its plan says which entries come; nor is a new one that the prearchive
    session has as it will be, in `own`.
    """

    path: str  # relative to the archived session's folder; "" is the session XML beside it
    before: str
    after: str
    text: bytes
    adds: tuple[Entry, ...] = ()
    replaces: Mapping[str, Entry] = field(default_factory=dict)  # by the URI they replace
    own: str = ""  # relative to `folder`, that of the prearchive session
    folder: str = field(default="", compare=False)  # not written down, nor is `seen`
    seen: Fingerprint | None = field(default=None, compare=False)  # as read

    def data(self, old: bytes | None) -> bytes:
        """The bytes to write in place of these; what is gzipped by its name stays so."""
        if self.own:
            return files.read_if_there(f"{self.folder}/{self.own}") or b""  # gone: not as planned
        if self.text or old is None:
            return _packed(self.path, self.text)
        return _packed(self.path, catalog.merge(old, self.adds, replace=self.replaces))


@dataclass(frozen=True, slots=True)
class Remains:
    """What stays in the prearchive because findings hold it."""

    files: int
    xml: str  # the session XML of what stays
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Promise:
    """One archiving, whole."""

    session: Session
    made: str  # ISO 8601
    new: bool  # the label was not archived before
    carries: tuple[Carry, ...]
    drops: tuple[Drop, ...]
    asides: tuple[Aside, ...]
    retires: tuple[Retire, ...]
    swaps: tuple[Swap, ...]  # catalogs first, the session XML last
    leftovers: tuple[str, ...]  # of the prearchive session's folder: its own catalogs
    sizes: tuple[int, int, int]  # scans, files, bytes that came
    experiment: str
    studies: tuple[str, ...]  # that the archived session holds then, its own first
    subject: str
    totals: tuple[int, int, int]  # scans, files, bytes of the archived session then
    replaced: int = 0  # archived files that newcomers replace
    remains: Remains | None = None  # None: nothing stays

    @property
    def sources(self) -> tuple[str, ...]:
        """The files that leave the prearchive session's folder."""
        leaving: tuple[Carry | Drop | Aside, ...] = (*self.carries, *self.drops, *self.asides)
        return tuple(each.source for each in leaving)

    @property
    def targets(self) -> frozenset[str]:
        """Where in the archived session they are, or are to be."""
        there: tuple[Carry | Drop, ...] = (*self.carries, *self.drops)
        return frozenset(each.target for each in there)


LISTS: Final = ("leftovers", "sizes", "studies", "totals")


def digest_of(data: bytes) -> str:
    """The SHA-256 of a document, hex."""
    return hashlib.sha256(data).hexdigest()


def path_of(parts: Parts, session: Session) -> str:
    """Where the plan of a session's archiving is, if there is one."""
    return parts.storage.beside(session, PLAN)


def write(parts: Parts, promise: Promise) -> None:
    """Write the plan down; from here on a restart carries it out or takes it back."""
    text = BytesIO()  # one copy of it in memory: of a large session it has megabytes
    text.writelines(_lines(promise))
    files.swap(path_of(parts, promise.session), text.getvalue())


def _lines(promise: Promise) -> Iterator[bytes]:
    """The plan as JSON, with a line for each file."""
    mark = b"{\n "
    for each in fields(promise):
        yield mark + json.dumps(each.name).encode() + b": "
        value = getattr(promise, each.name)
        if isinstance(value, tuple) and value and is_dataclass(value[0]):
            yield b"[\n  "
            yield from _listed(_values(one) for one in value)
            yield b"\n ]"
        else:
            yield json.dumps(_values(value)).encode()
        mark = b",\n "
    yield b"\n}\n"


def _listed(values: Iterable[Any]) -> Iterator[bytes]:
    between = b""
    for value in values:
        yield between + json.dumps(value).encode()
        between = b",\n  "


def _values(value: Any) -> Any:
    """A value of a plan as JSON has it."""
    if isinstance(value, Carry):
        target = {} if value.target == value.source else {"target": value.target}
        return {"source": value.source, **target, "digest": value.digest}
    if isinstance(value, Drop | Aside | Retire):
        return asdict(value)
    if isinstance(value, Session):
        return session_values(value)
    if isinstance(value, Swap):
        return _swap_values(value)
    if isinstance(value, Remains):
        return {**asdict(value), "findings": [finding_values(each) for each in value.findings]}
    return value


def _swap_values(swap: Swap) -> dict[str, Any]:
    gains = swap.adds or swap.replaces
    return {
        "path": swap.path,
        "before": swap.before,
        "after": swap.after,
        "text": "" if gains else swap.text.decode(),
        "own": swap.own,
        "adds": [asdict(each) for each in swap.adds],
        "replaces": {uri: asdict(each) for uri, each in swap.replaces.items()},
    }


def read(path: str) -> Promise:
    """The plan in a file; DocumentError where it does not hold one."""
    folder = path.removesuffix(f".{PLAN}")
    try:
        values: dict[str, Any] = json.loads(files.read(path))
        return Promise(
            **{
                **known(Promise, values),
                "session": session_of(values["session"]),
                "carries": tuple(map(_carry_of, values["carries"])),
                "drops": tuple(Drop(**known(Drop, each)) for each in values["drops"]),
                "asides": tuple(Aside(**known(Aside, each)) for each in values["asides"]),
                "retires": tuple(Retire(**known(Retire, each)) for each in values["retires"]),
                "swaps": tuple(_swap_of(each, folder) for each in values["swaps"]),
                "remains": _remains(values["remains"]),
                **{name: tuple(values[name]) for name in LISTS},
            }
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DocumentError("a plan beside a session can't be read") from error


def _carry_of(values: dict[str, str]) -> Carry:
    return Carry(values["source"], values.get("target", values["source"]), values["digest"])


def _swap_of(values: dict[str, Any], folder: str) -> Swap:
    adds = tuple(Entry(**known(Entry, each)) for each in values["adds"])
    replaces = {uri: Entry(**known(Entry, each)) for uri, each in values["replaces"].items()}
    words = (values["path"], values["before"], values["after"], values["text"].encode())
    return Swap(*words, adds, replaces, values.get("own", ""), folder)


def _remains(values: dict[str, Any] | None) -> Remains | None:
    if values is None:
        return None
    return Remains(values["files"], values["xml"], tuple(map(finding_of, values["findings"])))


def swaps_of(
    before: Mapping[str, bytes | None],
    prints: Mapping[str, Fingerprint | None],
    catalogs: Mapping[str, Next],
    xml: tuple[bytes | None, bytes],
    *,
    folder: str = "",
) -> tuple[Swap, ...]:
    """The documents of a plan, the session XML last: at most one swap for each.

    `prints`: as what the documents before were read; `folder`: the prearchive session's.
    """
    found = (
        replace(_swap(path, before.get(path), each), seen=prints.get(path), folder=folder)
        for path, each in sorted(catalogs.items())
    )
    return (*found, _swap("", xml[0], Next(xml[1])))


def _swap(path: str, old: bytes | None, new: Next) -> Swap:
    return Swap(
        path=path,
        before="" if old is None else digest_of(old),
        after=new.digest or digest_of(_packed(path, new.text)),
        text=new.text,
        adds=() if old is None else new.adds,
        replaces={} if old is None else new.replaces,
        own=new.own,
    )


def _packed(path: str, text: bytes) -> bytes:
    return gzip.compress(text, mtime=0) if path.endswith(".gz") else text
