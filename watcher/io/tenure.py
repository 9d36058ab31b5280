"""Who has a store, told to other hosts: owner, expiry and epoch (spec 9, Leases).

A kernel's lock may end at the host: NFS mounted `nolock`, some SMB and FUSE. A store on a network
file system therefore carries `.watcher-owner` besides. Its owner changes it every third of the
expiry; who finds it unchanged for the whole of one, on a clock of his own, takes the store over
under the next epoch. Nobody's clock is compared with another's. Local stores have no such file.

What remains: plain file systems have no fencing. An owner stopped between a check and the effect
after it carries out that one effect when it wakes, whoever has the store by then; and what was
checked within the last LOOK seconds is not read again. Each effect is one that may be repeated.
"""

import errno
import json
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Final

from watcher.core.errors import AlreadyRunningError, StorageError, WatcherError, storage_error
from watcher.core.record import known
from watcher.io import files, mounts
from watcher.io.reaching import GUARDS, MARKER, OWNER

EXPIRY: Final = 30.0  # seconds without a change after which an owner has the store no longer
RENEWALS: Final = 3  # in the time of one expiry
LOOK: Final = 1.0  # seconds between two looks at the file
LONGEST: Final = 3600.0  # seconds; an owner that promises less often is not believed


@dataclass(frozen=True, slots=True)
class Owner:
    """What the file says. `pid` 0: let go; `beat` changes with every renewal."""

    host: str
    boot: str
    pid: int
    epoch: int = 0
    expiry_s: float = EXPIRY
    beat: int = 0

    @property
    def key(self) -> tuple[str, str, int, int]:
        """What tells one tenure from another."""
        return self.host, self.boot, self.pid, self.epoch

    def is_dead_here(self, me: "Owner") -> bool:
        """Whether it was a process of this very system that is no more."""
        return (self.host, self.boot) == (me.host, me.boot) and not _runs(self.pid)


NOBODY: Final = Owner("", "", 0)


def this_process(expiry: float = EXPIRY) -> Owner:
    """Ourselves. `boot` names the kernel's run and the name space that `pid` counts in."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot = f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError as error:
        raise storage_error(error, "reading which run of the system this is") from error
    return Owner(os.uname().nodename, boot, os.getpid(), expiry_s=expiry)


def since_boot() -> float:
    """Seconds on a clock that goes on while the machine sleeps, as CLOCK_MONOTONIC does not."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Tenure:
    """One store of ours, or that is to be ours. Safe to call from any thread."""

    def __init__(self, folder: str, me: Owner, clock: Callable[[], float] = since_boot) -> None:
        self._folder = folder
        self._path = os.path.join(folder, OWNER)
        self._me = me  # as last written; epoch 0: never
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: tuple[bytes | None, float] | None = None
        self._renewed = self._checked = 0.0
        self._lost: AlreadyRunningError | None = None
        self.is_held = False
        self.before = NOBODY  # from whom it was taken over, where nobody had let go

    def take(self) -> bool:
        """One look: whether it is ours by now. To be asked again each LOOK seconds.

        What is written at one look must stand at the next: of several that take it at the same
        moment one has it. AlreadyRunningError where somebody else has it, and renews it.
        """
        with self._lock:
            data = files.read_if_there(self._path)
            found = _read(data)
            if found.key == self._me.key:
                self.is_held, self._checked = True, self._renewed
            elif self._me.epoch and data is not None:
                self._me, self.before = replace(self._me, epoch=0), NOBODY
                raise self._taken(found)
            elif self._is_free(data, found):
                self._write(epoch=found.epoch + 1)
            return self.is_held

    def renew(self) -> None:
        """Say that we are there; AlreadyRunningError where others have taken it over.

        One that expired unseen, as while the share was away, is taken again: next epoch.
        """
        with self._lock:
            if self._lost is None:
                data = files.read_if_there(self._path)
                if data is not None:
                    self._require_ours(_read(data))
                expired = data is None or self._is_expired()
                self._write(epoch=self._me.epoch + expired)

    def check(self) -> None:
        """Before a swap or removal. AlreadyRunningError: others have it, for ever after.

        StorageError while that can't be told, or we could not renew it for one expiry: whoever
        watched it may be taking it over now.
        """
        with self._lock:
            if self._lost is not None:
                raise AlreadyRunningError(str(self._lost), hint=self._lost.hint)
            now = self._clock()
            if now - self._checked >= LOOK:
                data = files.read_if_there(self._path)
                if data is not None:
                    self._require_ours(_read(data))
                self._checked = now
            if self._is_expired():
                text = "the hold on a store could not be renewed in time"
                raise StorageError(text, number=errno.EAGAIN, place=self._path)

    def release(self) -> None:
        """Let go, where it is ours still."""
        with self._lock:
            if self._me.epoch and self._lost is None:
                data = files.read_if_there(self._path)
                if data is not None and _read(data).key == self._me.key:
                    self._write(epoch=self._me.epoch, pid=0)
            self.is_held = False

    def _is_free(self, data: bytes | None, found: Owner) -> bool:
        now = self._clock()
        let_go = found.pid == 0 and found is not NOBODY
        if data is None or let_go or found.is_dead_here(self._me):
            return True
        if self._seen is None:
            self._seen = (data, now)
        before, since = self._seen
        if before != data:
            self._seen = None
            raise self._taken(found)
        if now - since < found.expiry_s + LOOK:
            return False
        self._seen, self.before = None, found
        return True

    def _require_ours(self, found: Owner) -> None:
        if found.key != self._me.key:
            self._lost, self.is_held = self._taken(found), False
            raise self._lost

    def _is_expired(self) -> bool:
        return self._clock() - self._renewed > self._me.expiry_s

    def _taken(self, found: Owner) -> AlreadyRunningError:
        who = f"process {found.pid} on {found.host or 'another host'}"
        return AlreadyRunningError(
            f"another daemon has {self._folder}: {who}", hint="stop one of the two"
        )

    def _write(self, *, epoch: int, pid: int | None = None) -> None:
        said = replace(self._me, epoch=epoch, beat=self._me.beat + 1)
        said = said if pid is None else replace(said, pid=pid)
        began = self._clock()  # others count from later
        if not os.path.lexists(os.path.join(self._folder, MARKER)):
            text = "the store is not there: nothing is written beneath its mount"
            raise StorageError(text, number=errno.ENOENT, place=self._path)
        files.swap(self._path, json.dumps(asdict(said)).encode() + b"\n")
        self._me, self._renewed = said, began


class Tenures:
    """The stores of one installation that lie on network file systems, by folder."""

    def __init__(self, clock: Callable[[], float] = since_boot) -> None:
        self._clock = clock
        self._all: dict[str, Tenure] = {}

    def add(self, folder: str) -> None:
        """Nothing is done for one on a local file system; nor for one that is known."""
        table = mounts.read_mounts()
        if folder not in self._all and mounts.is_network(
            mounts.mount_of(os.path.realpath(folder), table), table
        ):
            self._all[folder] = Tenure(folder, this_process(), self._clock)

    def take(self, wait: Callable[[float], None] = time.sleep) -> None:
        """Have all of them, as soon as others' expire; AlreadyRunningError where one does not."""
        while [folder for folder in self._all if not self.has(folder)]:
            wait(LOOK)
            self.renew()  # those that are ours, while we wait for others

    def has(self, folder: str) -> bool:
        """Whether a store is ours, or is now; AlreadyRunningError where others renew it."""
        tenure = self._all.get(folder)
        if tenure is None or folder in GUARDS:
            return True
        if tenure.take():
            GUARDS[folder] = tenure.check
        return tenure.is_held

    def check(self, folder: str) -> None:
        """As `Tenure.check`; nothing for a local store."""
        if guard := GUARDS.get(folder):
            guard()

    def check_all(self) -> None:
        """Each that is held: before a source is removed that lies in none of them."""
        for folder in tuple(self._all):
            self.check(folder)

    def renew(self) -> None:
        """All that are held; the first failure is raised when all were tried."""
        failed: list[WatcherError] = []
        for folder in GUARDS.keys() & self._all.keys():
            try:
                self._all[folder].renew()
            except (StorageError, AlreadyRunningError) as error:
                failed.append(error)
        if failed:
            raise min(failed, key=lambda each: isinstance(each, StorageError))

    def taken_over(self) -> list[str]:
        """What is to be said of stores that were taken over, once: a line for each last owner."""
        taken: dict[str, list[str]] = {}
        for folder, tenure in self._all.items():
            before, tenure.before = tenure.before, NOBODY
            if tenure.is_held and before is not NOBODY:
                who = f"taken over from process {before.pid} on {before.host}"
                taken.setdefault(who, []).append(folder)
        return [f"{who}: {', '.join(folders)}" for who, folders in taken.items()]

    def release(self) -> None:
        """Let go of all; what can't be reached others take over when it expires."""
        for folder, tenure in self._all.items():
            GUARDS.pop(folder, None)
            with suppress(StorageError):
                tenure.release()
        self._all = {}


def _read(data: bytes | None) -> Owner:
    """What a file says; of a torn one that is NOBODY we know, who has the store all the same."""
    try:
        found = Owner(**known(Owner, json.loads(data or b"")))
        numbers = isinstance(found.pid, int) and isinstance(found.epoch, int)
        sound = isinstance(found.host, str) and 0 < found.expiry_s <= LONGEST
        return found if numbers and sound and found.pid >= 0 and found.epoch > 0 else NOBODY
    except (ValueError, TypeError):
        return NOBODY


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # another user's, or one we can't ask for
        return True
    return True
