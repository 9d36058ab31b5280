"""One document by HTTP."""

import http.client
import socket
from contextlib import ExitStack, suppress

import pytest
from world import own_host, until

from watcher.core.errors import ConfigurationError
from watcher.io.serving import MOST, TYPE, serving


def ask(*words):
    """Status, type and body; asked again where it hung up, as on clients slower than PATIENCE."""
    return until(lambda: answer(*words), bool)


def answer(place, path="/metrics", method="GET"):
    """The answer to one request; nothing where it was hung up on."""
    asked = http.client.HTTPConnection(*place, timeout=180)
    try:
        asked.request(method, path)
        said = asked.getresponse()
        return said.status, said.getheader("Content-Type"), said.read()
    except (http.client.HTTPException, OSError):
        return None
    finally:
        asked.close()


@pytest.mark.parametrize("path", ["/metrics", "/", "/metrics?name=x"])
def test_it_serves_what_there_is_now(path):
    """Each request gets the document as it is at that moment, in Prometheus' text format."""
    now = [b"one 1\n"]
    with serving("127.0.0.1:0", lambda: now[0]) as place:
        assert (200, TYPE, b"one 1\n") == ask(place, path)
        now[0] = b"two 2\n"
        assert (200, TYPE, b"two 2\n") == ask(place, path)


def test_before_there_is_a_document_it_says_so():
    """503: a scrape that fails, and no empty page that would look like an answer."""
    with serving("127.0.0.1:0", lambda: b"") as place:
        assert 503 == ask(place)[0]


def test_nothing_else_is_served_or_taken(capsys):
    """Other paths are 404 and other methods 501; nothing is printed, nothing of Python is told."""
    with serving("127.0.0.1:0", lambda: b"one 1\n") as place:
        assert 404 == ask(place, "/../etc/passwd")[0]
        assert 501 == ask(place, "/metrics", "POST")[0]
    assert ("", "") == capsys.readouterr()


def test_an_address_of_ipv6():
    """`[::1]:port` is served as well."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no ::1")
    with serving("[::1]:0", lambda: b"one 1\n") as place:
        assert 200 == ask(place)[0]


def test_an_address_that_is_taken_is_a_fault_of_the_configuration():
    """ConfigurationError with the address, the system's reason and a command; nothing is left."""
    with serving("127.0.0.1:0", lambda: b"") as (host, port):
        why = f"{host}:{port} can't be had: .*in use"
        with pytest.raises(ConfigurationError, match=why) as told, ExitStack() as second:
            second.enter_context(serving(f"{host}:{port}", lambda: b""))
        assert str(port) in told.value.hint
        assert 2 == told.value.exit_code


def test_a_host_nobody_knows_is_one_too():
    """A name that does not resolve is told with the address, not with a traceback."""
    why = r"no-such-host\.invalid:9464 can't be had"
    with pytest.raises(ConfigurationError, match=why), ExitStack() as stack:
        stack.enter_context(serving("no-such-host.invalid:9464", lambda: b""))


def test_it_ends_with_the_block():
    """Afterwards the port is free: the next run of the program can have it."""
    ours = own_host()  # where nobody else is given the port meanwhile
    with serving(f"{ours}:0", lambda: b"one 1\n") as (host, port):
        assert 200 == ask((host, port))[0]
    with serving(f"{host}:{port}", lambda: b"two 2\n") as place:
        assert b"two 2\n" == ask(place)[2]


def test_a_client_that_hangs_up_is_no_fault(capsys):
    """It goes on for others, and no traceback is printed."""

    def hung_up():
        with suppress(OSError), socket.create_connection(place) as client:
            client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            return client.recv(100)

    with serving("127.0.0.1:0", lambda: b"x" * (64 << 20)) as place:
        until(hung_up, bool)  # once it has an answer; a slow machine may be hung up on before
        assert 404 == ask(place, "/else")[0]
    assert ("", "") == capsys.readouterr()


def test_clients_that_say_nothing_take_only_so_many_descriptors():
    """One more than there is room for is hung up on; once the others have gone, all are served."""
    with serving("127.0.0.1:0", lambda: b"one 1\n") as place:

        def answered_beside_silent_ones():
            with ExitStack() as silent:
                for _ in range(MOST):  # a slow machine may have hung up on the first of them
                    silent.enter_context(socket.create_connection(place))
                return answer(place)

        until(answered_beside_silent_ones, lambda said: said is None)
        assert 200 == ask(place)[0]
