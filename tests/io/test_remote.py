"""Which file systems are shared with other hosts, by the kernel's own word."""

import os

import pytest
from faults.faultfs import Faulty

from watcher.io.opening import NotTakenError, lease
from watcher.io.remote import is_remote


@pytest.mark.parametrize("path", ["/proc/self/stat", __file__])
def test_of_this_host(path):
    """A local file system, and one that only the kernel makes."""
    with open(path, "rb") as file:
        assert not is_remote(file.fileno())


def test_a_bad_descriptor_tells_nothing():
    """Where the kernel does not say it is taken for one of this host."""
    assert not is_remote(-1)


@pytest.mark.campaign
def test_no_lease_is_asked_for_on_a_share(tmp_path):
    """NFS 4.2 says of every file that it has a writer: a share is not asked, quiet decides."""
    with Faulty(tmp_path / "mount", tmp_path / "behind"):
        (tmp_path / "mount" / "a").write_bytes(b"data")
        writer = os.open(tmp_path / "mount" / "a", os.O_WRONLY)
        with open(tmp_path / "mount" / "a", "rb") as file:
            lease(file.fileno(), "try")
            with pytest.raises(NotTakenError) as refused:
                lease(file.fileno(), "require")
        os.close(writer)
    assert "unleased" == refused.value.refusal.code
