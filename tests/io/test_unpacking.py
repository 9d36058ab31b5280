"""Unpacking one archive file: all of it laid out, or refused with reasons, or it waits."""

import errno
import gzip
import hashlib
import io
import json
import os
import random
import signal
import stat
import struct
import subprocess
import sys
import tarfile
import time
import zipfile
from dataclasses import asdict, replace
from itertools import count

import anyio
import makers
import packing
import pytest

from watcher.core.members import Entry, Sort
from watcher.core.policy import Limits
from watcher.io import unpacking
from watcher.io.reader import examine
from watcher.io.unpacking import LISTING
from watcher.io.worker import Usage
from watcher.io.workers import Workers

METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
WHEN = 1718788464  # 2024-06-19 09:14:24 UTC
MEBI = 1 << 20
MEMORY = 90 * MEBI  # bytes of address space of a reader, which takes 40 itself


@pytest.fixture
def drop(tmp_path):
    (tmp_path / "drop").mkdir()
    return tmp_path / "drop"


@pytest.fixture
def into(tmp_path):
    (tmp_path / "into").mkdir()
    return tmp_path / "into"


@pytest.fixture
def request_for(drop, into):
    def made(path, limits=None, **more):
        limits = asdict(Limits(**(limits or {})))
        size = (drop / path).stat().st_size if (drop / path).exists() else 0
        asked = {"root": str(drop), "path": path, "size": size, "into": str(into)}
        return asked | {"limits": limits, "lease": "skip"} | more

    return made


@pytest.fixture
def ask(request_for):
    def asked(path, limits=None, **more):
        reply = examine(request_for(path, limits, **more))
        return json.loads(json.dumps(reply))

    return asked


@pytest.fixture
def laid(into):
    """What lies in the folder, by the path it had in the archive."""

    def found():
        lines = [json.loads(line) for line in (into / LISTING).read_text().splitlines()]
        assert {LISTING, *(line["name"] for line in lines)} == set(os.listdir(into))
        assert [f"m{number}" for number in range(len(lines))] == [line["name"] for line in lines]
        contents = {line["path"]: (into / line["name"]).read_bytes() for line in lines}
        assert [len(each) for each in contents.values()] == [line["size"] for line in lines]
        return contents

    return found


def texts(reply):
    assert {"archive-file"} == {each["code"] for each in reply["refused"]}
    return [each["text"] for each in reply["refused"]]


def said(reply, word, member=None):
    """Whether an archive is refused for one reason, that has the word."""
    (text,) = texts(reply)
    assert word in text
    return member is None or reply["refused"][0]["member"] == member


def senseless(reply, word, member):
    """Whether an archive is refused for a size below nought: newer tarfiles read none of it."""
    try:
        tarfile.TarFile(fileobj=io.BytesIO(packing.header("a", -1024) + bytes(2048)))
    except tarfile.ReadError:
        return said(reply, "not an archive", "")
    return said(reply, word, member)


@pytest.fixture
def members(tmp_path):
    """Two DICOM files and one that is none, of all sizes that matter, in folders."""
    data = makers.make_dicom(tmp_path / "a.dcm").read_bytes()
    noise = random.Random(7).randbytes(MEBI + 77)
    return {"A/a.dcm": data, "A/B/\u00e4 b.dcm": noise, "empty.txt": b"", "block": bytes(512)}


# -- what people pack --------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_zip(drop, ask, laid, members, method):
    """Every method that is unpacked gives the bytes that went in, and the archive's own print."""
    path = packing.zip_of(drop / "a.zip", members.items(), method)
    found, seen = ask("a.zip"), path.stat()
    assert members == laid()
    print_ = [seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns]
    told = {"members": 4, "bytes": sum(map(len, members.values())), "ignored": 0}
    assert {"print": print_, **told} == found


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_tar(drop, ask, laid, members, form, mode):
    """So does every format of tar, packed or not, with names of any length."""
    members |= {"/".join(["c" * 70, "d" * 90]): b"long"}
    packing.tar_of(drop / "a.tar", members.items(), mode, form)
    assert 5 == ask("a.tar")["members"]
    assert members == laid()


def test_long_names(drop, ask, laid):
    """Names that need headers of their own, many of them: what they take is given back."""
    members = {f"{'x' * 200}/{'y' * 200}/{number}": b"%d" % number for number in range(400)}
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        packing.tar_of(drop / "a.tar", members.items(), form=form)
        assert 400 == ask("a.tar")["members"]
        assert members == laid()


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tgz", "a.TAR.GZ"])
def test_content_decides(drop, ask, laid, name):
    """An archive is read as what it is, whatever of the names it has."""
    makes = [packing.zip_of, packing.tar_of, lambda *a: packing.tar_of(*a, mode="w:gz")]
    for make in makes:
        make(drop / name, [("a", b"content")])
        assert 1 == ask(name)["members"]
        assert {"a": b"content"} == laid()


def test_times_are_kept(drop, ask, into):
    """A member keeps its time; one that makes no sense is not set."""
    packing.tar_of(drop / "a.tar", [("a", b"a")])
    ask("a.tar")
    assert WHEN == (into / "m0").stat().st_mtime
    packing.zip_of(drop / "a.zip", [("a", b"a")])
    ask("a.zip")
    moment = time.localtime((into / "m0").stat().st_mtime)
    assert (2024, 6, 19, 9, 14, 24) == moment[:6]
    now = time.time()
    for odd in (0, -5, 1 << 40, float("nan")):
        form = tarfile.PAX_FORMAT if odd != odd else tarfile.GNU_FORMAT  # noqa: PLR0124 - NaN
        headers = {"mtime": "nan"} if odd != odd else {}  # noqa: PLR0124 - NaN
        mtime = 0 if headers else odd
        packing.tar_of(drop / "b.tar", [("a", b"a")], form=form, mtime=mtime, pax_headers=headers)
        assert 1 == ask("b.tar")["members"]
        assert (into / "m0").stat().st_mtime >= now - 5
    packing.zip_of(drop / "b.zip", [("a", b"a")], date_time=(1980, 0, 0, 0, 0, 0))
    assert 1 == ask("b.zip")["members"]


def test_written_as_a_stream(drop, ask, laid):
    """A zip that was written through a pipe has its sizes behind the content."""

    class Pipe(io.RawIOBase):
        def __init__(self):
            super().__init__()
            self.data = bytearray()

        def writable(self):
            return True

        def write(self, data):
            self.data += data
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", b"first")
        archive.writestr("b", b"second")
    (drop / "a.zip").write_bytes(pipe.data)
    assert 2 == ask("a.zip")["members"]
    assert {"a": b"first", "b": b"second"} == laid()


def test_zip64(drop, ask, laid):
    """One whose entry has its sizes in the 64-bit field, and a comment at the end."""
    with zipfile.ZipFile(drop / "a.zip", "w") as archive:
        with archive.open("a", "w", force_zip64=True) as member:
            member.write(b"content")
        archive.comment = b"made by hand"
    assert 1 == ask("a.zip")["members"]
    assert {"a": b"content"} == laid()


def test_gzip_in_parts(drop, ask, laid):
    """A tar packed as several gzip members, as parallel packers do it, is one tar."""
    data = packing.tar_of(drop / "a.tar", [("a", b"x" * 5000), ("b", b"y")]).read_bytes()
    parts = [data[at : at + 1500] for at in range(0, len(data), 1500)]
    (drop / "a.tgz").write_bytes(b"".join(map(gzip.compress, parts)))
    assert 2 == ask("a.tgz")["members"]
    assert {"a": b"x" * 5000, "b": b"y"} == laid()


def test_names_of_bytes(drop, ask, laid):
    """A name that is not UTF-8 comes through: as bytes from a tar, as code page 437 from a zip."""
    packing.tar_of(drop / "a.tar", [("a/\udcff\udc80", b"1")])
    ask("a.tar")
    assert [b"a/\xff\x80"] == [os.fsencode(path) for path in laid()]
    data = packing.zip_of(drop / "a.zip", [("a/xy", b"2")]).read_bytes()
    (drop / "a.zip").write_bytes(data.replace(b"a/xy", b"a/\xff\x80"))
    ask("a.zip")
    assert ["a/\u00a0\u00c7"] == list(laid())


@pytest.mark.parametrize("make", [packing.zip_of, packing.tar_of])
def test_ignored(drop, ask, laid, make):
    """Names that are never input, ours and those of the drop, are left out and counted."""
    names = ["a.dcm", ".DS_Store", "__MACOSX/._a.dcm", "b.bak", "x/Thumbs.db", "x/c.dcm"]
    make(drop / "a", [(name, name.encode()) for name in names])
    assert 4 == ask("a", ignore=["*.bak"])["ignored"]
    assert {"a.dcm": b"a.dcm", "x/c.dcm": b"x/c.dcm"} == laid()


def test_folders(drop, ask, laid):
    """Folders are no members, whoever packs them: by a slash, by a mode, by a kind."""
    with zipfile.ZipFile(drop / "a.zip", "w") as archive:
        archive.mkdir("x")
        archive.writestr("x/a", b"1")
    assert 1 == ask("a.zip")["members"]
    packing.typed_zip(drop / "b.zip", "x", stat.S_IFDIR)
    assert 0 == ask("b.zip")["members"]
    packing.tar_of(drop / "a.tar", [("./", b"")], type=tarfile.DIRTYPE)
    assert 0 == ask("a.tar")["members"]
    assert {} == laid()


@pytest.mark.parametrize("make", [packing.zip_of, lambda *a: packing.tar_of(*a, mode="w:gz")])
def test_nothing_in_it(drop, ask, laid, make):
    """An empty archive is one; that nothing is in it is for others to judge."""
    make(drop / "a", [])
    assert (0, {}) == (ask("a")["members"], laid())


# -- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize("make", [packing.zip_of, packing.tar_of])
def test_names(drop, into, ask, make):
    """Every hostile name is told, with its reason; nothing is written outside."""
    names = ["/abs", "../up", "a/../../up", "C:\\x", "x\\y", "x" * 300, "a"]
    make(drop / "a", [(name, b"evil") for name in names])
    reply = ask("a")
    assert names[:-1] == [each["member"] for each in reply["refused"]]
    assert 6 == len(texts(reply))
    assert {LISTING} >= set(os.listdir(into))
    assert {"drop", "into"} == set(os.listdir(into.parent))


def test_nul_in_a_name(drop, ask):
    """Where the library would cut the name."""
    path = packing.zip_of(drop / "a.zip", [("a.dcmXexe", b"")])
    path.write_bytes(path.read_bytes().replace(b"dcmXexe", b"dcm\0exe"))
    assert said(ask("a.zip"), "NUL", "a.dcm\0exe")


@pytest.mark.parametrize("kind", list(packing.SPECIAL))
def test_special_members(drop, ask, kind):
    """Links, devices and whatever else a tar holds."""
    packing.special_tar(drop / "a.tar", kind)
    assert said(ask("a.tar"), {"disk": "device", "volume": "neither"}.get(kind, kind), "bad")


@pytest.mark.parametrize("kind", ["link", "device", "FIFO"])
def test_special_entries(drop, ask, kind):
    """The same in a zip, by the mode that Unix packs."""
    packing.typed_zip(drop / "a.zip", "bad", packing.links(kind), b"/etc/passwd")
    assert said(ask("a.zip"), kind, "bad")


def test_sparse(drop, ask):
    """GNU's sparse files, old and new."""
    old = packing.header("bad", 512, b"S") + bytes(512) + bytes(1024)
    (drop / "old.tar").write_bytes(old)
    assert said(ask("old.tar"), "sparse", "bad")
    headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9"}
    content = [("bad", packing.padded(b"1\n0\n1\n") + b"x")]
    packing.tar_of(drop / "new.tar", content, form=tarfile.PAX_FORMAT, pax_headers=headers)
    assert said(ask("new.tar"), "sparse", "bad")


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"flags": 1}, "encrypted"),
        ({"flags": 1 << 6}, "encrypted"),
        ({"flags": 1 << 13}, "encrypted"),
        ({"method": 99}, "encrypted"),
        ({"method": 9}, "method"),
        ({"method": 93}, "method"),
        ({"flags": 1 << 5}, "method"),
    ],
)
def test_what_can_not_be_unpacked(drop, ask, fields, word):
    """Encrypted, or packed in ways that are not known."""
    packing.patched(packing.zip_of(drop / "a.zip", [("bad", b"content")]), **fields)
    assert said(ask("a.zip"), word, "bad")


def test_later_versions(drop, ask):
    """A zip for a later program, and one whose name is not in the alphabet it claims."""
    packing.patched(packing.zip_of(drop / "a.zip", [("bad", b"content")]), version=99)
    assert said(ask("a.zip"), "later version", "")
    path = packing.zip_of(drop / "b.zip", [("\u00e4", b"content")])
    path.write_bytes(path.read_bytes().replace("\u00e4".encode(), b"\xff\xff"))
    assert said(ask("b.zip"), "UTF-8", "")


@pytest.mark.parametrize("inner", [("inner.zip", b"no zip at all"), ("a/B.TGZ", b"x")])
@pytest.mark.parametrize("make", [packing.zip_of, packing.tar_of])
def test_nested(drop, ask, make, inner):
    """By its name; also beside good members, which are not laid out for long."""
    make(drop / "a", [("before", b"1"), inner, ("after", b"2")])
    assert said(ask("a"), "within", inner[0])


def test_dicom_of_two_faces(drop, ask, laid):
    """A DICOM file whose preamble is that of a zip, a tar or a gzip is a DICOM file."""
    data = makers.make_dicom(drop / "a.dcm").read_bytes()
    faces = {str(n): head + data[len(head) :] for n, head in enumerate([b"PK\3\4", b"\x1f\x8b"])}
    packing.zip_of(drop / "a.zip", faces.items())
    assert 2 == ask("a.zip")["members"]
    assert faces == laid()


@pytest.mark.parametrize("make", [packing.zip_of, packing.tar_of])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_twice(drop, ask, make):
    """Two members of one name: nobody can say which was meant."""
    make(drop / "a", [("a", b"1"), ("b", b"2"), ("./a", b"3")])
    assert said(ask("a"), "same name", "./a")


@pytest.mark.parametrize("make", [packing.zip_of, packing.tar_of])
def test_entries(drop, ask, make):
    """As many as allowed, and one more."""
    make(drop / "a", [(str(number), b"") for number in range(10)])
    assert 10 == ask("a", {"entries": 10})["members"]
    assert said(ask("a", {"entries": 9}), "more than 9 entries", "")


BOMBS = {
    "deflate": packing.zip_of,
    "bzip2": lambda path, data: packing.zip_of(path, data, zipfile.ZIP_BZIP2),
    "lzma": lambda path, data: packing.zip_of(path, data, zipfile.ZIP_LZMA),
    "gzip": lambda path, data: packing.tar_of(path, data, "w:gz"),
}


@pytest.mark.parametrize("make", BOMBS.values(), ids=list(BOMBS))
def test_bombs(drop, into, ask, make):
    """What unpacks to too much is stopped there, by what came out and not by what it says."""
    make(drop / "a", [("bomb", bytes(30 * MEBI))])
    assert said(ask("a"), "200 times its own size", "")
    assert (into / "m0").stat().st_size <= 200 * (drop / "a").stat().st_size + MEBI
    assert said(ask("a", {"ratio": 10**9, "bytes": 5 * MEBI}), "more than 5242880 bytes", "")
    assert (into / "m0").stat().st_size <= 6 * MEBI
    assert 1 == ask("a", {"ratio": 10**9})["members"]


def test_many_small_bombs(drop, ask):
    """What all members hold together counts, also what is not wanted of a tar."""
    packing.tar_of(drop / "a.tgz", [(f".{n}", bytes(MEBI)) for n in range(10)], "w:gz")
    assert said(ask("a.tgz"), "200 times", "")


def test_overlap(drop, ask):
    """A zip that has one content lie within another."""
    packing.overlapping(drop / "a.zip")
    assert said(ask("a.zip"), "over another", "inner")


def test_list_that_lies(drop, ask):
    """More or less in it than is said, another name, content within the list."""

    def lies(**fields):
        return ask(
            packing.patched(packing.zip_of(drop / "a.zip", [("a", b"content")]), **fields).name
        )

    assert said(lies(size=3), "more than", "a")
    assert said(lies(size=30), "less than", "a")
    assert said(lies(packed=1000), "over another", "a")
    assert "torn" == lies(packed=3)["refusal"]
    path = packing.zip_of(drop / "b.zip", [("name", b"content")])
    path.write_bytes(path.read_bytes().replace(b"name", b"nama", 1))
    assert said(ask("b.zip"), "not the one beside it", "name")
    packing.zip_of(drop / "c.zip", [("folder/", b"content")])
    assert said(ask("c.zip"), "neither", "folder/")


def test_sizes_that_contradict(drop, ask):
    """A tar whose sizes would lead a reader back, or to the middle of a member."""
    for size in (-1024, -(1 << 60)):
        (drop / "a.tar").write_bytes(packing.header("a", size) + bytes(2048))
        assert senseless(ask("a.tar"), "contradict", "a")
    packing.tar_of(
        drop / "b.tar",
        [("a", b"content"), ("b", b"content")],
        form=tarfile.PAX_FORMAT,
        pax_headers={},
    )
    record = b"17 size=99999999\n"
    lies = packing.header("g", len(record), b"g") + packing.padded(record)
    (drop / "b.tar").write_bytes(lies + (drop / "b.tar").read_bytes())
    assert said(ask("b.tar"), "contradict", "a")


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"])
def test_headers_that_never_end(drop, ask, kind):
    """A name or an attribute longer than any, and more of them than any member has."""
    with open(drop / "a.tar", "wb") as file:
        file.write(packing.header("a", 1 << 30, kind))
        file.truncate(1 << 30)
    assert said(ask("a.tar"), "too long", "")
    one = packing.header("a", 512, kind) + packing.padded(b"20 comment=aaaaaaaa\n")
    (drop / "b.tar").write_bytes(one * 200 + packing.header("a") + bytes(1024))
    assert "refused" not in ask("b.tar")
    (drop / "b.tar").write_bytes(one * 300 + packing.header("a") + bytes(1024))
    assert said(ask("b.tar"), "too long", "")
    (drop / "c.tar").write_bytes(packing.header("a", -1024, kind) + bytes(2048))
    assert senseless(ask("c.tar"), "too long", "")


def test_a_list_that_never_ends(drop, ask):
    """A zip whose list of entries is longer than anybody reads at once."""
    size = 200 * MEBI
    with open(drop / "a.zip", "wb") as file:
        file.write(b"PK\3\4")
        file.seek(size)
        file.write(struct.pack("<4s8x2LH", b"PK\5\6", size - 4, 4, 0))
    assert said(ask("a.zip"), "too long", "")


def test_what_the_library_chokes_on(drop, ask):
    """An error that nobody foresaw refuses the archive, by its kind."""
    record = b"26 GNU.sparse.size=secret\n"
    choking = packing.header("a", len(record), b"x") + packing.padded(record)
    (drop / "a.tar").write_bytes(choking + packing.header("b") + bytes(1024))
    assert said(ask("a.tar"), "ValueError", "")


def test_more_behind_its_end(drop, ask):
    """What follows the end would be lost with the file: it is refused, not passed over."""
    data = packing.tar_of(drop / "a.tar", [("a", b"1")]).read_bytes()
    (drop / "b.tar").write_bytes(data + data)
    (drop / "b.tgz").write_bytes(gzip.compress(data + b"x"))
    assert said(ask("b.tar"), "follows its end", "")
    assert said(ask("b.tgz"), "follows its end", "")


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tgz"])
def test_no_archive(drop, ask, name):
    """Text, a DICOM file, another packer's: none is an archive, whatever its name."""
    (drop / name).write_bytes(b"this is no archive, and nobody will make one of it\n" * 20)
    assert said(ask(name), "not an archive", "")
    data = makers.make_dicom(drop / name).read_bytes()
    assert said(ask(name), "not an archive", "")
    (drop / name).write_bytes(b"PK\3\4" + data[4:])
    assert said(ask(name), "not an archive", "")
    (drop / name).write_bytes(gzip.compress(b"no tar"))
    assert said(ask(name), "not an archive", "")
    (drop / name).write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(600))
    assert said(ask(name), "not an archive", "")


def test_reasons_are_bounded(drop, ask):
    """Of a thousand bad members twenty are told."""
    packing.tar_of(drop / "a.tar", [(f"/{number}", b"x") for number in range(1000)])
    assert [f"/{number}" for number in range(20)] == [
        each["member"] for each in ask("a.tar")["refused"]
    ]


# -- what waits --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["zip", "tar", "tgz", "pax.tar"])
def test_cut_off(drop, ask, kind, members):
    """Wherever a copy stops, the archive waits; whole is only what has all members."""
    make = packing.zip_of if kind == "zip" else packing.tar_of
    mode = {"tgz": {"mode": "w:gz"}, "pax.tar": {"form": tarfile.PAX_FORMAT}}.get(kind, {})
    members = {f"{'n' * 120}/{name}": data[:3000] for name, data in members.items()}
    data = make(drop / "whole", members.items(), **mode).read_bytes()
    cuts = {1, 2, 3, 4, 511, 512, 513, 1024, len(data) - 1, *range(5, len(data), 61)}
    for cut in cuts:
        (drop / f"a.{kind}").write_bytes(data[:cut])
        reply = ask(f"a.{kind}")
        assert "torn" == reply.get("refusal") or 4 == reply.get("members"), (cut, reply)


@pytest.mark.parametrize("method", METHODS)
def test_damage(drop, ask, method):
    """A byte that changed on the way makes the archive wait, and the member is named."""
    content = random.Random(3).randbytes(3000)
    data = packing.zip_of(
        drop / "a.zip", [("first", b"x"), ("x/bad", content)], method
    ).read_bytes()
    at = data.index(b"x/bad") + 1500
    (drop / "a.zip").write_bytes(data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :])
    reply = ask("a.zip")
    assert "torn" == reply["refusal"]
    assert '"a.zip/x/bad"' in reply["text"]


def test_damage_that_looks_like_the_end(drop, ask):
    """A tar's damaged header is not its end, nor is a list of entries that can't be read."""
    data = bytearray(packing.tar_of(drop / "a.tar", [("a", b"1"), ("b", b"2")]).read_bytes())
    data[1024 + 5] = 255
    (drop / "a.tar").write_bytes(data)
    assert '"a.tar/a"' in ask("a.tar")["text"]
    data[1024:1536] = packing.header("x", 20, b"x")
    data[1536:2048] = packing.padded(b"20 comment=aaaaaaaa\n")
    (drop / "a.tar").write_bytes(data[:2048] + bytes(1024))
    assert "torn" == ask("a.tar")["refusal"]
    data = packing.zip_of(drop / "a.zip", [("a", b"1")]).read_bytes()
    for mark in (b"PK\1\2", b"PK\3\4"):
        (drop / "a.zip").write_bytes(data.replace(mark, b"XXXX" if mark[2] == 1 else b"PK\3\5"))
        assert ask("a.zip").keys() & {"refusal", "refused"}
    local = b"PK\3\4" + b"X" + data[4:].replace(b"PK\3\4", b"")
    (drop / "b.zip").write_bytes(local)
    assert ask("b.zip").keys() & {"refusal", "refused"}


def test_lzma_properties(drop, ask):
    """Properties that can't be are damage."""
    path = packing.zip_of(drop / "a.zip", [("a", b"1" * 100)], zipfile.ZIP_LZMA)
    data = bytearray(path.read_bytes())
    data[30 + 1 + 4] = 225
    path.write_bytes(data)
    assert "torn" == ask("a.zip")["refusal"]


def test_laid_out_in_advance(drop, ask):
    """A file of zeros, or one whose rest is zeros, is perhaps not written yet."""
    for name in ("a.zip", "a.tar", "a.tgz"):
        (drop / name).write_bytes(bytes(4096))
        assert "torn" == ask(name)["refusal"]
    path = packing.tar_of(drop / "a.tar", [("a", b"1")])
    path.write_bytes(path.read_bytes()[:1024] + bytes(2 * MEBI))
    assert "torn" == ask("a.tar")["refusal"]


def test_holes(drop, ask):
    """A file with holes waits for the longest quiet, as any file."""
    path = packing.tar_of(drop / "a.tar", [("a", b"1")])
    with open(path, "ab") as file:
        file.truncate(MEBI)
    with open(path, "rb") as file:
        if os.lseek(file.fileno(), 0, os.SEEK_HOLE) == MEBI:
            pytest.skip("no holes on this file system")
    assert "hollow" == ask("a.tar", hollow=False)["refusal"]
    assert 1 == ask("a.tar")["members"]


def test_waits_as_any_file(drop, ask, tmp_path):
    """Empty, gone, a link, open for writing: the reader's own answers."""
    (drop / "empty.zip").touch()
    (drop / "link.zip").symlink_to(packing.zip_of(tmp_path / "outside.zip", [("a", b"1")]))
    packing.zip_of(drop / "a.zip", [("a", b"1")])
    names = ["empty.zip", "link.zip", "missing.zip"]
    assert ["empty", "not-regular", "gone"] == [ask(name)["refusal"] for name in names]
    with open(drop / "a.zip", "ab"):
        assert "busy" == ask("a.zip", lease="try")["refusal"]


class Changing(dict):
    """A request that lets the file change when the names to ignore are asked for: meanwhile."""

    def __init__(self, values, change):
        super().__init__(values)
        self.change = change

    def get(self, key, default=None):
        if key == "ignore":
            self.change()
        return super().get(key, default)


@pytest.mark.parametrize("name", ["good", "/bad", "cut"])
def test_changed_meanwhile(drop, request_for, name):
    """No verdict on bytes that have changed: neither that it goes, nor refused, nor torn."""
    path = packing.tar_of(drop / "a.tar", [(name, b"1" * 1000)])
    if name == "cut":
        os.truncate(path, 700)
    assert (
        "changed"
        == examine(Changing(request_for("a.tar"), lambda: os.utime(path, (1, 1))))["refusal"]
    )


# -- the machine -------------------------------------------------------------------------------


def test_leavings_are_cleared(drop, into, ask, laid):
    """What a try that was cut off left is replaced, not written to."""
    (into / "m0").write_bytes(b"half of what is much longer")
    (into / "m7").write_bytes(b"more")
    (into / LISTING).write_text("{")
    os.link(into / "m0", into.parent / "kept")
    packing.zip_of(drop / "a.zip", [("a", b"1")])
    ask("a.zip")
    assert {"a": b"1"} == laid()
    assert b"half of what is much longer" == (into.parent / "kept").read_bytes()


def test_no_room(drop, into, ask):
    """What the store says is told as the store's, and by number."""
    packing.zip_of(drop / "a.zip", [("a", b"1")])
    missing = str(into / "missing")
    reply = ask("a.zip", into=missing)
    assert (errno.ENOENT, missing) == (reply["errno"], reply["place"])
    (into / "m0").mkdir()
    assert {"errno", "doing", "place"} == set(ask("a.zip"))


def test_a_drop_that_fails(drop, into, ask):
    """What the drop says while it is read is the drop's, and no damage of the archive."""
    program = (
        "import os\n"
        "from watcher.io.packed import Source\n"
        "from watcher.io.opening import FailedError\n"
        "from watcher.io import unzipping\n"
        "from watcher.core.policy import Limits\n"
        "file = os.open('/proc/self/mem', os.O_RDONLY)\n"
        "source = Source(file, 1 << 20, 'the drop')\n"
        "try:\n"
        "    next(unzipping.entries(source, print, Limits()))\n"
        "except FailedError as error:\n"
        "    print(error.number, error.place)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert f"{errno.EIO} the drop\n" == done.stdout


def test_an_orphan_stops(into):
    """A reader whose daemon was killed lays nothing more out: the next daemon has begun."""
    listing = io.StringIO()
    staging = unpacking._Staging(str(into), listing)
    staging._parent = -1  # another process than the one that started this one
    with pytest.raises(SystemExit):
        staging.lay("a", Entry("a", Sort.FILE, None, iter([b"1"])))
    assert ("", b"") == (listing.getvalue(), (into / "m0").read_bytes())


@pytest.fixture
def awake(monkeypatch):
    """No reader counts as silent, however long it has to wait for a processor."""
    real, moments = Usage.of, count()
    monkeypatch.setattr(Usage, "of", lambda pid: replace(real(pid), moved=str(next(moments))))


@pytest.mark.usefixtures("awake")
async def test_by_a_reader(drop, into, request_for, laid):
    """A reader process does it, and serves other files before and after."""
    packing.zip_of(drop / "a.zip", [("a", b"1")])
    makers.make_dicom(drop / "b.dcm")
    plain = {"root": str(drop), "path": "b.dcm", "incoming": None, "lease": "skip"}
    async with Workers.open(count=1) as workers:
        replies = [
            (await workers.examine([plain]))[0],
            await workers.unpack(request_for("a.zip")),
            (await workers.examine([plain]))[0],
        ]
    data = hashlib.md5((drop / "b.dcm").read_bytes()).hexdigest()
    assert [data, 1, data] == [each.get("digest") or each["members"] for each in replies]
    assert {"a": b"1"} == laid()


@pytest.mark.usefixtures("awake")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_memory(drop, request_for):
    """Whatever takes more than a reader has refuses the archive, and the reader lives on."""
    entry = struct.pack("<4s24xH16x", b"PK\1\2", 8)
    listed = b"".join(entry + b"%08d" % number for number in range(200_000))
    last = struct.pack("<4s8x2LH", b"PK\5\6", len(listed), 4, 0)
    (drop / "b.zip").write_bytes(b"PK\3\4" + listed + last)
    packing.zip_of(drop / "bomb.zip", [("a", bytes(64 * MEBI))], zipfile.ZIP_BZIP2)
    path = packing.zip_of(drop / "words.zip", [("a", b"content")], zipfile.ZIP_LZMA)
    data = bytearray(path.read_bytes())
    data[30 + 1 + 5 : 30 + 1 + 9] = b"\xff" * 4  # a dictionary of 4 GiB
    path.write_bytes(data)
    async with Workers.open(count=1, memory=MEMORY) as workers:
        assert said(await workers.unpack(request_for("b.zip")), "more than 100000 entries")
        much = request_for("b.zip", {"entries": 10**9})
        assert said(await workers.unpack(much), "more memory")
        assert said(await workers.unpack(request_for("bomb.zip")), "times its own size")
        assert 1 == (await workers.unpack(request_for("words.zip")))["members"]


@pytest.mark.usefixtures("awake")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_killers(drop, request_for):
    """An archive that keeps readers busy for longer than its size allows is refused in the end."""
    with open(drop / "a.tar", "wb") as file:
        file.write(packing.header(".ignored", 1 << 40))
        file.truncate((1 << 40) + 2048)
    request = request_for("a.tar", {"bytes": 1 << 50, "ratio": 1, "entries": 1}) | {"size": 0}
    async with Workers.open(count=1, busy=0.5, silent=10.0) as workers:
        reply = await workers.unpack(request)
    assert ["crashed-reader"] == [each["code"] for each in reply["refused"]]


def stop(pid):
    """Stop a process, and wait until it stands."""
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)


@pytest.mark.usefixtures("awake")
async def test_cancelled(drop, into, request_for):
    """Who is cancelled in the middle of a large archive ends its reader, and waits for no more."""
    with open(drop / "a.tar", "wb") as file:
        file.write(packing.header(".ignored", 1 << 40))
        file.truncate((1 << 40) + 2048)
    request = request_for("a.tar", {"bytes": 1 << 50, "ratio": 10})
    async with Workers.open(count=1) as workers:
        await workers.warm(1)
        (process,) = (each.process for each in workers._idle)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(workers.unpack, request)
            while not (into / LISTING).exists():  # noqa: ASYNC110 - a file tells no event
                await anyio.sleep(0.01)
            stop(process.pid)  # however late we are, it is not through
            tasks.cancel_scope.cancel()
        assert (-signal.SIGKILL, []) == (process.returncode, workers._idle)
