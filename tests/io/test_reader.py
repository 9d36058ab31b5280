"""What a worker does with one file: real files, links, pipes, writers and processes."""

import errno
import fcntl
import hashlib
import json
import os
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import zlib
from pathlib import Path

import makers
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from watcher.core.errors import StorageError
from watcher.core.tags import TAGS
from watcher.dicom import structure
from watcher.dicom.compare import Compared
from watcher.io import opening, reader
from watcher.io.comparing import compared
from watcher.io.reader import examine

MEMORY = 256 << 20  # bytes of address space of a worker
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="changes owners, which takes root")
USER = pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")


@pytest.fixture
def drop(tmp_path):
    folder = tmp_path / "drop"
    folder.mkdir()
    return folder


@pytest.fixture
def incoming(tmp_path):
    folder = tmp_path / "incoming"
    folder.mkdir()
    return folder


@pytest.fixture
def ask(drop, incoming):
    def asked(path="a.dcm", **request):
        request = {"link": False, "incoming": str(incoming), "name": "copy-1"} | request
        return examine({"root": str(drop), "path": path, **request})

    return asked


def code(reply):
    return reply.get("refusal", reply)


def test_copy(drop, incoming, ask):
    """A good file is hashed, told and copied in one reading, with its times."""
    path = makers.make_dicom(drop / "MR" / "a.dcm", comments="Project: A")
    os.utime(path, ns=(10**18, 10**18 + 123456789))
    stat, data = path.stat(), path.read_bytes()
    reply = ask("MR/a.dcm")
    copy = incoming / "copy-1"
    print_ = [stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
    assert reply["print"] == print_
    assert reply["digest"] == hashlib.md5(data).hexdigest()
    assert (reply["temp"], reply["unread"]) == ("copy-1", [])
    assert reply["values"][f"{TAGS['PatientComments']:08x}"] == "Project: A"
    assert (copy.read_bytes(), copy.stat().st_mtime_ns) == (data, stat.st_mtime_ns)
    assert copy.stat().st_ino != stat.st_ino
    assert json.loads(json.dumps(reply)) == reply


def test_link(drop, incoming, ask):
    """A file of our own with one name on the same file system is not copied."""
    makers.make_dicom(drop / "a.dcm")
    assert ask(link=True)["temp"] == ""
    assert list(incoming.iterdir()) == []


def test_no_incoming(drop, ask):
    """Without a folder for copies none is made."""
    makers.make_dicom(drop / "a.dcm")
    assert ask(incoming=None)["temp"] == ""


def test_hard_link_is_copied(drop, ask):
    """A file with several names is copied: another name could change what is filed."""
    os.link(makers.make_dicom(drop / "a.dcm"), drop / "b.dcm")
    assert ask(link=True)["temp"] == "copy-1"


@ROOT
def test_foreign_file_is_copied(drop, ask):
    """A file of another owner is copied: the owner could change it."""
    os.chown(makers.make_dicom(drop / "a.dcm"), 65534, 65534)
    assert ask(link=True)["temp"] == "copy-1"


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="wants a second file system")
def test_other_file_system_is_copied(drop, ask, incoming):
    """Nothing links across file systems."""
    makers.make_dicom(drop / "a.dcm")
    folder = tempfile.mkdtemp(dir="/dev/shm")
    try:
        if os.stat(folder).st_dev == drop.stat().st_dev:
            pytest.skip("/dev/shm is the same file system")
        assert ask(link=True, incoming=folder)["temp"] == "copy-1"
    finally:
        shutil.rmtree(folder)


def test_more_tags(drop, ask):
    """Tags asked for besides the usual ones are told too."""
    makers.make_dicom(drop / "a.dcm", ReferringPhysicianName="WHO^DR")
    assert ask(tags=[0x00080090])["values"]["00080090"] == "WHO^DR"


def test_names_are_bytes(drop, ask):
    """A name that is no UTF-8 is read like any other, also by way of JSON."""
    name = os.fsdecode(b"bad\xff\xfe.dcm")
    makers.make_dicom(os.path.join(drop, name))
    assert "digest" in ask(json.loads(json.dumps(name)))


# -- kinds of files ---------------------------------------------------------------------------


def test_fifo(drop, ask):
    """A FIFO is refused, and does not hang the worker."""
    os.mkfifo(drop / "a.dcm")
    assert code(ask()) == "not-regular"


def test_socket(drop, ask, monkeypatch):
    """A socket is refused."""
    monkeypatch.chdir(drop)
    with socket.socket(socket.AF_UNIX) as end:
        end.bind("a.dcm")
        assert code(ask()) == "not-regular"


def test_links(drop, tmp_path, ask):
    """No link is followed, neither to a file nor through a folder."""
    makers.make_dicom(tmp_path / "secret" / "a.dcm")
    (drop / "a.dcm").symlink_to(tmp_path / "secret" / "a.dcm")
    (drop / "folder").symlink_to(tmp_path / "secret")
    assert code(ask()) == "not-regular"
    assert code(ask("folder/a.dcm")) == "not-regular"


@pytest.mark.parametrize("path", ["../secret/a.dcm", "a/../../secret/a.dcm", "/etc/passwd", "a\0b"])
def test_paths_stay_below(path, tmp_path, ask):
    """A path that would leave the drop is refused."""
    makers.make_dicom(tmp_path / "secret" / "a.dcm")
    assert code(ask(path)) == "not-regular"


def test_gone(drop, ask):
    """What is not there is gone; so is what lies below a file, or below a root that went."""
    makers.make_dicom(drop / "b.dcm")
    assert code(ask()) == "gone"
    assert code(ask("none/a.dcm")) == "gone"
    assert code(ask("b.dcm/a.dcm")) == "gone"
    assert code(examine({"root": str(drop / "no"), "path": "a.dcm"})) == "gone"


def test_folder(drop, ask):
    """A folder is no file."""
    (drop / "a.dcm").mkdir()
    assert code(ask()) == "not-regular"


@USER
def test_denied(drop, ask):
    """A file the daemon may not read is told as such."""
    makers.make_dicom(drop / "a.dcm").chmod(0)
    assert code(ask()) == "denied"


def test_too_long_a_name(ask):
    """Other errors of the machine come with their errno."""
    told = ask("x" * 300)
    assert (errno.ENAMETOOLONG, "reading a file of a drop") == (told["errno"], told["doing"])


def test_empty(drop, ask):
    """An empty file waits."""
    (drop / "a.dcm").touch()
    assert code(ask()) == "empty"


# -- content ----------------------------------------------------------------------------------


def test_not_dicom(drop, incoming, ask):
    """What is not DICOM is refused by its head: nothing is copied, whatever its size."""
    with open(drop / "a.dcm", "wb") as file:
        file.write(b"hello")
        file.truncate(1 << 40)  # a file of holes: reading all of it would take minutes
    assert code(ask()) == "not-dicom"
    assert list(incoming.iterdir()) == []


@pytest.mark.parametrize("kept", [reader.KEPT, 100])
def test_torn(drop, incoming, ask, monkeypatch, kept):
    """A torn file is refused and leaves no copy, read into memory or where it lies."""
    monkeypatch.setattr(reader, "KEPT", kept)
    path = makers.make_dicom(drop / "a.dcm")
    os.truncate(path, path.stat().st_size - 1)
    reply = ask()
    assert (reply["refusal"], bool(reply["hint"])) == ("torn", True)
    assert list(incoming.iterdir()) == []


def test_large(drop, incoming, ask, monkeypatch):
    """A file too large for memory is walked where it lies; the reply is the same."""
    path = makers.make_dicom(drop / "a.dcm", rows=512, columns=512)
    small = ask(name="copy-2")
    monkeypatch.setattr(reader, "KEPT", 1000)
    monkeypatch.setattr(reader, "BLOCK", 7000)
    large = ask()
    assert large | {"temp": ""} == small | {"temp": ""}
    assert (incoming / "copy-1").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("keywords", "refusal"),
    [
        ({"study": None}, "missing-uid"),
        ({"series": "1.2.x"}, "bad-uid"),
        ({"sop_class": "1.2.840.10008.1.3.10"}, "dicomdir"),
    ],
)
def test_verdicts(drop, incoming, ask, keywords, refusal):
    """What judge refuses is not copied."""
    makers.make_dicom(drop / "a.dcm", **keywords)
    assert code(ask()) == refusal
    assert list(incoming.iterdir()) == []


def test_limits(drop, ask):
    """The limits of the configuration are those of the walk."""
    makers.make_dicom(drop / "a.dcm")
    reply = ask(limits={"elements": 3})
    expected = "It can't be read safely: it has more elements than the limit."
    assert (reply["refusal"], reply["text"]) == ("unreadable", expected)


def test_parser_error(drop, ask):
    """Any error of parsing is a refusal that names its type only."""
    makers.make_dicom(drop / "a.dcm")
    reply = ask(limits={"no_such_limit": 1})
    assert (reply["refusal"], reply["text"]) == ("unreadable", "It can't be read: TypeError.")


# -- writers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["require", "try"])
def test_busy(drop, incoming, ask, policy):
    """A file that somebody still has open for writing is busy, whole or not."""
    path = makers.make_dicom(drop / "a.dcm")
    with open(path, "ab"):
        assert code(ask(lease=policy)) == "busy"
        assert "digest" in ask(lease="skip")
    assert "digest" in ask(lease=policy, name="copy-2")


def test_other_process_writes(drop, ask):
    """The writer may be any process."""
    path = makers.make_dicom(drop / "a.dcm")
    program = "import sys; f = open(sys.argv[1], 'ab'); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        writer.stdout.readline()
        assert code(ask()) == "busy"
        writer.stdin.close()
    assert "digest" in ask()


def test_broken_lease_harms_nobody(drop):
    """A writer who comes while the lease is held breaks it by a signal that does nothing."""
    path = makers.make_dicom(drop / "a.dcm")
    program = (
        "import fcntl, os, sys\n"
        "from watcher.io import opening\n"
        "real = fcntl.fcntl\n"
        "def held_until_told(file, command, argument):\n"
        "    answer = real(file, command, argument)\n"
        "    if (command, argument) == (fcntl.F_SETLEASE, fcntl.F_RDLCK):\n"
        "        print(flush=True)\n"
        "        sys.stdin.readline()\n"
        "    return answer\n"
        "fcntl.fcntl = held_until_told\n"
        "opening.lease(os.open(sys.argv[1], os.O_RDONLY), 'require')\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        holder.stdout.readline()
        with pytest.raises(BlockingIOError):
            os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        holder.stdin.close()
    assert holder.returncode == 0


def test_unleased():
    """On a file of somebody else no lease can be had: `require` refuses, `try` goes on."""
    was_root = os.geteuid() == 0
    with open("/etc/passwd", "rb") as file:
        if was_root:
            os.seteuid(65534)
        try:
            opening.lease(file.fileno(), "try")
            with pytest.raises(opening.NotTakenError) as refused:
                opening.lease(file.fileno(), "require")
        finally:
            if was_root:
                os.seteuid(0)
    assert refused.value.refusal.code == "unleased"


class _Growing(dict):
    """A request that lets the file change when its tags are asked for: while it is read."""

    def __init__(self, change, **values):
        super().__init__(values)
        self.change = change

    def get(self, key, default=None):
        if key == "tags":
            self.change()
        return super().get(key, default)


@pytest.fixture
def change_meanwhile(drop, incoming):
    def asked(change):
        values = {"incoming": str(incoming), "name": "copy-1", "lease": "skip"}
        return examine(_Growing(change, root=str(drop), path="a.dcm", **values))

    return asked


def test_grows_while_read(drop, incoming, change_meanwhile):
    """A file that grows while it is read is refused, and its copy is gone."""
    path = makers.make_dicom(drop / "a.dcm")

    def grow():
        with path.open("ab") as file:
            file.write(b"more")

    assert code(change_meanwhile(grow)) == "changed"
    assert list(incoming.iterdir()) == []


def test_shrinks_while_read(drop, incoming, change_meanwhile, monkeypatch):
    """So is a large one that shrinks."""
    monkeypatch.setattr(reader, "KEPT", 100)
    path = makers.make_dicom(drop / "a.dcm", rows=1000, columns=1000)

    def shrink():
        os.truncate(path, path.stat().st_size - 70_000)

    assert code(change_meanwhile(shrink)) in {"changed", "torn"}
    assert list(incoming.iterdir()) == []


def test_changed_before_judged(drop, change_meanwhile):
    """A verdict on bytes that have changed is none."""
    path = makers.make_dicom(drop / "a.dcm", study=None)
    assert code(change_meanwhile(lambda: os.utime(path, (1, 1)))) == "changed"


def test_short_file():
    """A digest over fewer bytes than the file had is none."""
    with pytest.raises(opening.NotTakenError):
        reader._pass_on(lambda at, count: b"", 10, {"root": "/"}, None)


def test_vanishing_bytes(drop):
    """A file that lost its end before it was read has changed."""
    file = os.open(makers.make_dicom(drop / "a.dcm"), os.O_RDONLY)
    with pytest.raises(opening.NotTakenError):
        reader._content(file, 1 << 20)
    os.close(file)


# -- the store --------------------------------------------------------------------------------


def test_copy_of_a_try_that_was_cut_off_is_replaced(drop, incoming, ask):
    """What an earlier reader left under the name is in nobody's way, and is not written to."""
    source = makers.make_dicom(drop / "a.dcm")
    (incoming / "copy-1").write_bytes(b"half")
    os.link(incoming / "copy-1", drop.parent / "kept")
    assert ask()["temp"] == "copy-1"
    assert (incoming / "copy-1").read_bytes() == Path(source).read_bytes()
    assert (drop.parent / "kept").read_bytes() == b"half"


def test_short_writes():
    """A write that a signal cuts short goes on where it stopped."""
    source, sink = os.pipe()
    data, got = os.urandom(1 << 20), bytearray()

    def drain():
        while block := os.read(source, 1 << 20):
            got.extend(block)

    def interrupt():
        room = fcntl.fcntl(sink, fcntl.F_GETPIPE_SZ)
        while struct.unpack("i", fcntl.ioctl(source, termios.FIONREAD, bytes(4)))[0] < room:
            os.sched_yield()
        # the pipe is full, so the write waits: no signal can come before it
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)

    drainer, sender = threading.Thread(target=drain), threading.Thread(target=interrupt)
    before = signal.signal(signal.SIGUSR1, lambda *_: drainer.start())
    sender.start()
    opening.write_all(sink, memoryview(data))
    os.close(sink)
    drainer.join()
    sender.join()
    signal.signal(signal.SIGUSR1, before)
    os.close(source)
    assert got == data


def test_full_store(drop, incoming):
    """A store that takes no more is told with its errno, and the part written is gone."""
    makers.make_dicom(drop / "a.dcm", rows=512, columns=512)
    request = {"root": str(drop), "path": "a.dcm", "incoming": str(incoming), "name": "copy-1"}
    program = (
        "import json, resource, signal, sys\n"
        "from watcher.io.reader import examine\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))\n"
        "print(json.dumps(examine(json.loads(sys.argv[1]))))\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", program, json.dumps(request)], capture_output=True, check=True
    )
    expected = {"errno": errno.EFBIG, "doing": "making a copy in the store"}
    assert json.loads(told.stdout) == expected | {"place": str(incoming)}
    assert list(incoming.iterdir()) == []


# -- the same data set ------------------------------------------------------------------------


def test_compared(tmp_path):
    """Preamble, group 0002 and encoding do not matter; what differs is told."""
    one = makers.make_dicom(tmp_path / "one")
    data = bytearray(one.read_bytes())
    data[5:9] = b"TIFF"
    two = tmp_path / "two"
    two.write_bytes(data)
    three = makers.make_dicom(tmp_path / "three", transfer_syntax=ImplicitVRLittleEndian)
    four = makers.make_dicom(tmp_path / "four", patient_name="DOE^JOHNNY")
    assert compared(str(one), str(two)) == Compared(True, True)
    assert compared(str(one), str(three)) == Compared(True, True)
    assert compared(str(one), str(four)) == Compared(False, True, ("PatientName",))


def test_compared_untold(tmp_path):
    """Of what is no DICOM or no file it can't be told."""
    one = makers.make_dicom(tmp_path / "one")
    text = tmp_path / "text"
    text.write_text("hello")
    for other in (text, tmp_path):
        assert compared(str(one), str(other)) == Compared(None)


def test_compared_deflated(tmp_path):
    """The same deflated bytes are the same; others may say the same."""
    syntax = DeflatedExplicitVRLittleEndian
    one = makers.make_dicom(tmp_path / "one", transfer_syntax=syntax)
    data = one.read_bytes()
    start = structure.preface(data, len(data)).start
    pressed = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    plain = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data[start:])
    two = tmp_path / "two"
    two.write_bytes(data[:start] + pressed.compress(plain) + pressed.flush())
    assert compared(str(one), str(one)).same is True
    assert compared(str(one), str(two)).same is None


def test_compared_gone(tmp_path):
    """A file that can't be opened is an error of the storage."""
    with pytest.raises(StorageError) as error:
        compared(str(tmp_path / "a"), str(tmp_path / "b"))
    assert (error.value.number, "a" in error.value.hint) == (errno.ENOENT, False)


# -- the process ------------------------------------------------------------------------------


@pytest.fixture
def worker():
    command = [sys.executable, "-m", "watcher.io.reader", "--memory", str(MEMORY)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield process
        process.stdin.close()


def exchange(worker, requests):
    worker.stdin.write(json.dumps(requests).encode() + b"\n")
    worker.stdin.flush()
    return json.loads(worker.stdout.readline())


def test_worker(drop, worker):
    """A worker answers a line by a line, ignores Ctrl-C and a broken lease, and ends with stdin."""
    makers.make_dicom(drop / "a.dcm")
    request = {"root": str(drop), "path": "a.dcm", "incoming": None}
    assert exchange(worker, []) == []
    worker.send_signal(signal.SIGINT)
    worker.send_signal(signal.SIGIO)
    replies = exchange(worker, [request, request | {"path": "b.dcm"}])
    assert ["digest" in replies[0], replies[1]["refusal"]] == [True, "gone"]
    assert resource.prlimit(worker.pid, resource.RLIMIT_AS) == (MEMORY, MEMORY)
    assert resource.prlimit(worker.pid, resource.RLIMIT_CORE) == (0, 0)
    worker.stdin.close()
    assert worker.wait(100) == 0


def test_worker_memory(drop, worker):
    """A file that wants more memory than there is is unreadable; the worker lives."""
    pressed = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    chunks = [pressed.compress(bytes(1 << 20)) for _ in range(300)] + [pressed.flush()]
    path = makers.make_dicom(drop / "a.dcm", transfer_syntax=DeflatedExplicitVRLittleEndian)
    data = path.read_bytes()
    start = structure.preface(data, len(data)).start
    path.write_bytes(data[:start] + b"".join(chunks))
    request = {"root": str(drop), "path": "a.dcm", "limits": {"inflate": 1 << 40}}
    assert exchange(worker, [request])[0]["text"] == "It can't be read: MemoryError."
    assert exchange(worker, []) == []


def test_worker_outlives_nobody(worker):
    """A worker whose daemon is gone ends without a word."""
    worker.stdout.close()
    worker.stdin.write(b"[]\n")
    worker.stdin.flush()
    assert worker.wait(100) == 0
