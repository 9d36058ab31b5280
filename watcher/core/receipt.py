"""How a dropped thing stands, for whoever dropped it: one line, and whether it is settled.

What is dropped is a top-level folder, an archive file, or a day's loose files (spec 12, Receipts).
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from watcher.core.case import Awaited, counted
from watcher.core.file import RefusalCode
from watcher.core.notation import format_duration
from watcher.core.receipt_names import key_of
from watcher.core.session import Status
from watcher.core.settle import Waiting

NAMES: Final = 50
"""Names of what needs attention that one receipt shows; the rest is counted."""
NUMBERS: Final = 3  # of sessions, in the first line
NOBODY: Final = "whoever looks after the archive"  # a drop without a contact
DECIDES: Final = (Status.CONFLICT, Status.ERROR)
"""The statuses that wait for a person."""
ENDED: Final = (Status.ARCHIVED, Status.DELETED)
INNOCENT: Final = frozenset({RefusalCode.NOT_DICOM.value, RefusalCode.DICOMDIR.value})
"""Why files are set aside that wait for nobody."""
_TORN: Final = frozenset({RefusalCode.TORN.value, RefusalCode.EMPTY.value})
_INCOMPLETE: Final = frozenset(
    {
        "",
        *(RefusalCode.EMPTY, RefusalCode.TORN, RefusalCode.BUSY),
        *(RefusalCode.UNLEASED, RefusalCode.HOLLOW, RefusalCode.CHANGED, RefusalCode.UNIT),
    }
)


@dataclass(slots=True)
class Lying:
    """The files of a dropped thing that lie in the drop unfiled."""

    files: int = 0
    incomplete: int = 0  # of them: unchanged for `stuck_after`, and not whole
    barred: int = 0  # unchanged as long, and the daemon can't take them
    more: bool = False  # and others, that were left for a later look
    closed: int = 0  # folders that can't be read: what lies there is not known
    named: int = 0  # what of these needs attention, and what is torn so far
    names: list[tuple[bytes, str]] = field(default_factory=list)  # of these the first; and why

    def __bool__(self) -> bool:
        """Whether there are any, as far as is known."""
        return bool(self.files or self.more or self.closed)

    def name(self, path: bytes, why: str) -> None:
        """A file or folder that needs attention."""
        self.named += 1
        if len(self.names) < NAMES:
            self.names.append((path, why))


@dataclass(frozen=True, slots=True)
class Went:
    """Files of it that went to one session, and how that stands. Moments: seconds since the epoch.

    `status` None: a session that is not known any more. `ended`: when it was archived or deleted;
    `place`: its folder in the archive.
    """

    session: str
    filed: int
    duplicates: int
    size: int
    first: float
    last: float
    status: Status | None = None
    project: str = ""
    subject: str = ""
    label: str = ""
    inactivity: float = 0.0
    automatic: bool = True  # archived without a person, once READY
    findings: tuple[str, ...] = ()  # what holds it, in words
    ended: float | None = None
    place: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """An open entry of the quarantine with files of it."""

    entry: str
    code: str
    path: bytes
    text: str
    files: int

    @property
    def waits(self) -> bool:
        """Whether somebody is to do something about it."""
        return self.code not in INNOCENT


@dataclass(frozen=True, slots=True)
class Dropped:
    """All that is known of one dropped thing."""

    key: bytes
    drop: str
    contact: str
    lying: Lying
    went: Sequence[Went]
    refused: Sequence[Refused]
    missing: Awaited = field(default_factory=Awaited)  # what DICOMDIRs list of it and has not come

    @property
    def whom(self) -> str:
        """Whom a sender asks."""
        return self.contact or NOBODY

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to tell: what lay there was taken away again."""
        return not (self.lying or self.went or self.refused)

    @property
    def settled(self) -> bool:
        """Whether nothing can change any more without another file."""
        ended = all(each.status is None or each.status in ENDED for each in self.went)
        return ended and not self.lying and not any(each.waits for each in self.refused)


@dataclass(frozen=True, slots=True)
class Pending:
    """What a drop's eyes see there unfiled. `later`: the folders of files left for a later look.

    `closed`: folders that can't be read; `last`: nobody looks again, so that what is torn is stuck.
    """

    waiting: Sequence[Waiting] = ()
    later: Collection[bytes] = ()
    closed: Collection[bytes] = ()
    last: bool = False


def lying(pending: Pending, day: Callable[[float], str], today: str) -> Mapping[bytes, Lying]:
    """What of a drop is unfiled, by what was dropped; `day` of the moment a file was first seen."""
    found = _files(pending.waiting, day, last=pending.last)
    for folder in pending.later:
        _of_folder(found, folder, today).more = True
    for folder in pending.closed:
        here = _of_folder(found, folder, today)
        here.closed += 1
        here.name(folder, "This folder can't be read.")
    return found


def _of_folder(found: dict[bytes, Lying], folder: bytes, today: str) -> Lying:
    return found.setdefault(key_of(folder, today, whole=bool(folder)), Lying())


def _files(
    waiting: Iterable[Waiting], day: Callable[[float], str], *, last: bool
) -> dict[bytes, Lying]:
    found: dict[bytes, Lying] = {}
    for each in waiting:
        here = found.setdefault(key_of(each.path, day(each.since)), Lying())
        here.files += 1
        torn = each.reason in _TORN
        stuck = each.stuck or (last and torn)
        here.incomplete += stuck and each.reason in _INCOMPLETE
        here.barred += stuck and each.reason not in _INCOMPLETE
        if stuck or torn:
            here.name(each.path, each.text or "It is not whole.")
    return found


def first_line(dropped: Dropped) -> str:
    """How it stands, in the words of spec 12: first what a person has to do, then what happens."""
    return _to_do(dropped) or _missing(dropped) or _under_way(dropped) or DONE


def _to_do(dropped: Dropped) -> str:
    left = dropped.lying
    if left.incomplete:
        return f"{counted(left.incomplete)} incomplete: copy {_them(left.incomplete)} again"
    if numbers := [each.session for each in dropped.went if each.status in DECIDES]:
        return f"waiting for a decision: tell {dropped.whom} {_called(numbers)}"
    if refused := sum(each.files for each in dropped.refused if each.waits):
        return f"{counted(refused)} refused: tell {dropped.whom}"
    if left.barred:
        return f"{counted(left.barred)} can't be taken: tell {dropped.whom}"
    if left.closed:
        return f"{counted(left.closed, 'folder')} can't be read: tell {dropped.whom}"
    return ""


def _missing(dropped: Dropped) -> str:
    number = dropped.missing.count
    if not number or dropped.lying:
        return ""
    text = f"{counted(number)} listed in DICOMDIR {'has' if number == 1 else 'have'} not come"
    return f"{text}: copy {_them(number)}" if dropped.settled else f"still arriving: {text}"


def _under_way(dropped: Dropped) -> str:
    if dropped.lying:
        return "still arriving"
    if rests := [each.inactivity for each in dropped.went if each.status is Status.RECEIVING]:
        longest = max(rests)
        return f"all here, waiting {format_duration(longest)} for more" if longest else ON_ITS_WAY
    open_ = [each for each in dropped.went if each.status not in {None, *ENDED}]
    if all(each.status is Status.READY and not each.automatic for each in open_):
        return "all here, waiting until somebody archives it" if open_ else ""
    return ON_ITS_WAY


DONE: Final = "all here, nothing left to do"
ON_ITS_WAY: Final = "all here, on its way into the archive"


def _them(files: int) -> str:
    return "it" if files == 1 else "them"


def _called(numbers: Sequence[str]) -> str:
    if len(numbers) == 1:
        return f"the number {numbers[0]}"
    more = len(numbers) - NUMBERS
    tail = f" and {more} more" if more > 0 else ""
    return f"the numbers {', '.join(numbers[:NUMBERS])}{tail}"
