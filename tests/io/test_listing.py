"""A DICOMDIR as a reader process tells it: through its pipes, and whatever lies there."""

import errno
import os

import media
import pytest

from watcher.io import listing
from watcher.io.workers import Workers

FILES = {"1.2.3.1": "DICOM\\IM1", "1.2.3.2": "DICOM\\IM2"}
TOLD = {"1.2": {"1.2.3": [("1.2.3.1", ("DICOM", "IM1")), ("1.2.3.2", ("DICOM", "IM2"))]}}


def ask(folder, path="DICOMDIR"):
    return listing.reply_to({"root": str(folder), "path": path})


@pytest.fixture
def medium(tmp_path):
    (tmp_path / "DICOMDIR").write_bytes(media.medium({"1.2": {"1.2.3": FILES}}))
    return tmp_path


def test_a_list(medium):
    """Its files by study and series, and which file it was that was read."""
    reply = ask(medium)
    seen = os.stat(medium / "DICOMDIR")
    assert (TOLD, [seen.st_ino, seen.st_size]) == (reply["listed"], reply["print"][1:3])


async def test_through_a_process(medium):
    """A real reader gives the same."""
    async with Workers.open(count=1, silent=120.0) as workers:
        (reply,) = await workers.examine([{"list": {"root": str(medium), "path": "DICOMDIR"}}])
    files = reply["listed"]["1.2"]["1.2.3"]
    assert TOLD["1.2"]["1.2.3"] == [(sop, tuple(file)) for sop, file in files]


@pytest.mark.parametrize("path", ["nothing", "link", "../DICOMDIR", "pipe", "folder"])
def test_no_file_of_the_drop(medium, path):
    """What is gone, is no regular file, or lies behind a link or outside, is not read."""
    (medium / "link").symlink_to("DICOMDIR")
    (medium / "folder").mkdir()
    os.mkfifo(medium / "pipe")
    assert {"print": None, "listed": None} == ask(medium, path)


def test_the_machine_says_no(medium):
    """A fault that is not the file's is told as one."""
    reply = ask(medium, "x" * 300)
    assert (errno.ENAMETOOLONG, str(medium)) == (reply["errno"], reply["place"])


def test_too_large(medium):
    """A list larger than any medium's is not read at all."""
    os.truncate(medium / "DICOMDIR", listing.LARGEST + 1)
    assert ask(medium)["listed"] is None
