"""`io.digests`: MD5s of many files, each read once while it stays as it is."""

import hashlib
import os

import pytest

from watcher.core.errors import StorageError
from watcher.io import files
from watcher.io.digests import BATCH, Digests, is_dicom


class StopError(Exception):
    pass


@pytest.fixture
def made(tmp_path):
    paths = []
    for number in range(BATCH + 3):
        path = tmp_path / f"{number}"
        path.write_bytes(b"%d" % number)
        paths.append(str(path))
    return paths


def asked(paths):
    return [(path, files.print_of(path)) for path in paths]


def test_in_order_and_only_once(made):
    """One digest per file, in the order asked; a second time nothing is read."""
    read = []
    digests = Digests(lambda: None, read.append)
    expected = [hashlib.md5(b"%d" % number).hexdigest() for number in range(len(made))]
    assert expected == digests.of(asked(made)) == digests.of(asked(made))
    assert len(made) == len(read)


def test_a_changed_file_is_read_again(made):
    """By its fingerprint, not by its name."""
    digests = Digests(lambda: None, lambda _size: None)
    digests.of(asked(made[:1]))
    with open(made[0], "ab") as file:
        file.write(b"x")
    assert [hashlib.md5(b"0x").hexdigest()] == digests.of(asked(made[:1]))


def test_what_can_not_be_read_stops_nobody(made):
    """Its error stands in its place."""
    wanted = asked(made[:3])
    os.remove(made[1])
    first, second, third = Digests(lambda: None, lambda _size: None).of(wanted)
    assert (True, str, str) == (isinstance(second, StorageError), type(first), type(third))


def test_a_stop_comes_through(made):
    """What is raised before a file ends the work."""

    def stop():
        raise StopError

    with pytest.raises(StopError):
        Digests(stop, lambda _size: None).of(asked(made))


def test_what_is_dicom(tmp_path):
    """By its head; neither a link, nor a folder, nor what is not there."""
    dicom, text = tmp_path / "dicom", tmp_path / "text"
    dicom.write_bytes(bytes(128) + b"DICM")
    text.write_text("no")
    (tmp_path / "link").symlink_to(dicom)
    names = ("dicom", "text", "link", "gone", ".")
    assert [True, False, False, False, False] == [is_dicom(str(tmp_path / n)) for n in names]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_may_not_be_read_is_said(tmp_path):
    """StorageError: whether it is DICOM can't be told."""
    path = tmp_path / "closed"
    path.write_bytes(b"x")
    path.chmod(0)
    with pytest.raises(StorageError):
        is_dicom(str(path))
