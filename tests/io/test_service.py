"""What systemd is told, against real datagram sockets."""

import socket
from uuid import uuid4

import pytest

from watcher.io.service import notify


@pytest.mark.parametrize("form", ["{path}", "@{name}"])
def test_a_state_arrives_as_one_datagram(tmp_path, form):
    """sd_notify(3): the state is one datagram, to a path or an abstract name."""
    address = form.format(path=tmp_path / "notify", name=f"watcher-test-{uuid4()}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.settimeout(5)
        systemd.bind(address.replace("@", "\0") if form.startswith("@") else address)
        told = notify("READY=1\nSTATUS=watching", address)
        assert (told, systemd.recv(4096)) == (True, b"READY=1\nSTATUS=watching")


@pytest.mark.parametrize(
    "address", [None, "", "vsock:2:1234", "relative", "/nowhere/at/all", "@nobody-here", "/a\0b"]
)
def test_nobody_to_tell_is_an_answer(address):
    """Without a listener notify says False and raises nothing: the daemon runs without systemd."""
    assert notify("READY=1", address) is False


def test_an_address_too_long_is_an_answer():
    """An address no socket can have is like none."""
    assert notify("READY=1", "/" + "x" * 200) is False
