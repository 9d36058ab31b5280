"""Where lines of the log go: a stream, a file that is rotated. And the key they are coded with.

A sink never raises: a fault of the log has nobody to be raised to. It counts what it could not
write and keeps the reason; the log says so when the sink works again.
"""

import errno
import math
import os
import re
import secrets
import select
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Final, TextIO

from watcher.core.errors import ConfigurationError, storage_error
from watcher.io.deputy import Deputy, is_distant
from watcher.io.halves import NO_LINKS

_KEY_BYTES: Final = 32
PATIENCE: Final = 1.0  # seconds that a reader who does not read may hold a line up, once
PRIORITIES: Final[Mapping[str, int]] = {"error": 3, "warning": 4, "info": 6, "debug": 7}
"""What syslog calls our levels."""
_LEVEL: Final = re.compile(rb'\{"timestamp": "[^"]*", "level": "([a-z]+)"')
_PIECE: Final = 4096  # bytes; PIPE_BUF: what poll(2) says a pipe takes without waiting


def _reason(error: OSError | ValueError) -> str:
    said = error.strerror if isinstance(error, OSError) else None
    return f"{type(error).__name__}: {said or error}"


class Sink(ABC):
    """Something lines are written to. `lost` counts those it did not take, since last told."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lost = 0
        self.fault = ""
        self.works = True
        self._torn = False

    def put(self, text: str) -> bool:
        """Write one line; False, counted and with the reason kept, where that fails."""
        try:
            self._write(f"{text}\n".encode("ascii", "backslashreplace"))
        except (OSError, ValueError) as error:  # ValueError: the stream is closed
            self.lost += 1
            self.fault = _reason(error)
            self.works = False
        else:
            self.works = True
        return self.works

    def told(self) -> Mapping[str, object]:
        """What went wrong since this was asked last, as fields of a line."""
        fields = {"sink": self.name, "lost": self.lost, "error": self.fault}
        self.lost, self.fault = 0, ""
        return fields

    @abstractmethod
    def _write(self, data: bytes) -> None:
        """Write it all; OSError or ValueError where that fails."""

    def _push(self, descriptor: int, data: bytes) -> int:
        """Write what can be written of it at once; how much that was.

        A reader that stops reading is waited for once, then lines are lost to it, and counted,
        until it reads again: no log is worth the files that would not be taken meanwhile.
        """
        asked = select.poll()
        asked.register(descriptor, select.POLLOUT)
        if not asked.poll(PATIENCE * 1000 if self.works else 0):
            raise OSError(errno.EAGAIN, "nobody reads it")
        return os.write(descriptor, data[:_PIECE])

    def _write_to(self, descriptor: int, data: bytes) -> None:
        whole, done = b"\n" + data if self._torn else data, 0
        try:
            while done < len(whole):
                done += self._push(descriptor, whole[done:])
        finally:  # a disk that fills cuts a line in two: the next one begins anew
            if done:
                self._torn = not whole[:done].endswith(b"\n")


class StreamSink(Sink):
    """A text stream. Its descriptor is written to directly.

    A buffer would keep what a full disk refused, and fail again at exit.
    """

    def __init__(self, stream: TextIO, journal: str = "") -> None:
        super().__init__("stream")
        self._stream = stream
        self._ranks = is_journal(stream, journal)

    def _write(self, data: bytes) -> None:
        data = _rank(data) + data if self._ranks else data
        self._stream.flush()  # what others printed comes first
        try:
            descriptor = self._stream.fileno()
        except OSError:  # io.UnsupportedOperation: a stream in memory
            self._stream.write(data.decode("ascii"))
        else:
            self._write_to(descriptor, data)


def is_journal(stream: TextIO, named: str) -> bool:
    """Whether the stream is the journal's: JOURNAL_STREAM names its device and inode.

    A program started by a service may have inherited the variable and not the stream.
    """
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):  # in memory, or closed
        return False
    return named == f"{found.st_dev}:{found.st_ino}"


def _rank(line: bytes) -> bytes:
    """The priority of a line as the journal reads it, sd-daemon(3)."""
    found = _LEVEL.match(line)
    return b"<%d>" % PRIORITIES.get(found[1].decode() if found else "", PRIORITIES["info"])


class FileSink(Sink):
    """A file that is rotated: `name`, `name.1` (the newest), ... `name.<keep>`.

    Where it lies on a share a deputy writes: one that hangs is waited for once, as a stream is.
    """

    def __init__(self, path: str, rotate: int, keep: int) -> None:
        super().__init__("file")
        self._path, self._rotate, self._keep = path, rotate, keep
        self._descriptor = -1
        self._size = 0
        self._limit = math.inf
        self._is_file = True  # no pipe or device of that name
        self._deputy = Deputy(PATIENCE)
        self._distant = False

    def close(self) -> None:
        """Close it; the next line opens whatever then has its name."""
        try:
            self._do(self._close)
        except TimeoutError as error:
            self.fault, self.works = _reason(error), False

    def _do(self, work: Callable[[], object]) -> None:
        if self._descriptor < 0:
            self._distant = is_distant(self._path)
        if self._distant:
            self._deputy.call(work)
        else:
            work()

    def _close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            try:
                os.close(descriptor)
            except OSError as error:  # a share says here what it could not write
                self.fault = _reason(error)

    def opens(self) -> bool:
        """Whether it is open, or can be; False with the reason kept."""
        try:
            if self._descriptor < 0:
                self._do(self._open)
        except OSError as error:
            self.fault, self.works = _reason(error), False
        return self._descriptor >= 0

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY
        self._descriptor = os.open(self._path, flags, 0o640)
        found = os.fstat(self._descriptor)
        self._is_file = stat.S_ISREG(found.st_mode)
        self._size = found.st_size if self._is_file else 0
        self._limit = self._rotate if self._is_file else math.inf
        self._torn = self._size > 0 and os.pread(self._descriptor, 1, self._size - 1) != b"\n"

    def _write(self, data: bytes) -> None:
        self._do(partial(self._add, data))

    def _add(self, data: bytes) -> None:
        if self._descriptor >= 0 and os.fstat(self._descriptor).st_nlink == 0:
            self._close()  # removed, with its folder perhaps: nobody would ever read the line
        if self._descriptor < 0:
            self._open()
        if self._size and self._size + len(data) > self._limit:
            self._roll()
        try:
            self._write_to(self._descriptor, data)
        except OSError as error:
            if error.errno != errno.EAGAIN:  # a stale handle heals by opening again
                self._close()
            raise
        self._size += len(data)

    def _push(self, descriptor: int, data: bytes) -> int:
        return os.write(descriptor, data) if self._is_file else super()._push(descriptor, data)

    def _roll(self) -> None:
        try:
            self._shift()
        except OSError as error:  # better a long file than a lost line; tried again later, and told
            self.fault = f"can't rotate: {_reason(error)}"
            self._limit = self._size + self._rotate
            return
        self._close()
        self._open()

    def _shift(self) -> None:
        names = [self._path, *(f"{self._path}.{number + 1}" for number in range(self._keep))]
        for older, newer in zip(names[::-1], names[-2::-1], strict=False):
            if os.path.lexists(newer):
                os.replace(newer, older)
        if not self._keep:
            os.unlink(self._path)


def load_key(path: str) -> bytes:
    """The key identifiers are coded with; made at the first call, 32 random bytes, mode 0600.

    Of several processes that make it at once all get the same. Raises StorageError, and
    ConfigurationError where the file is not such a key.
    """
    try:
        if not os.path.lexists(path):
            _make_key(path)
        key = _read_key(path)
    except OSError as error:
        raise storage_error(error, "reading or making log.key") from error
    if len(key) != _KEY_BYTES:
        raise ConfigurationError(
            f"log.key has {len(key)} bytes instead of {_KEY_BYTES}",
            hint="restore it from a backup, or remove it: old coded values are then lost",
        )
    return key


def _read_key(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        return os.read(descriptor, _KEY_BYTES + 1)
    finally:
        os.close(descriptor)


def _make_key(path: str) -> None:
    """Under a name of its own first: nobody ever sees half a key. Who links first has made it."""
    temp = f"{path}.{secrets.token_hex(8)}.tmp"
    descriptor = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, secrets.token_bytes(_KEY_BYTES))
        os.fsync(descriptor)
        _give_name(temp, path)
    except FileExistsError:
        return  # another process was first: its key is the key
    finally:
        os.close(descriptor)
        with suppress(FileNotFoundError):
            os.unlink(temp)


def _give_name(temp: str, path: str) -> None:
    try:
        os.link(temp, path)
    except OSError as error:
        # without links two first starts in the same instant may each have a key for that run
        if error.errno not in NO_LINKS or os.path.lexists(path):
            raise
        os.rename(temp, path)
