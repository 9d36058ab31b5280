"""One document by HTTP: what Prometheus asks for. Nothing else is served, and nothing is taken.

Whoever asks gets what was put there last: no request waits for a disk, none can hold the work up.
"""

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, Final

from watcher.core.errors import ConfigurationError

PATHS: Final = ("/metrics", "/")
TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"  # Prometheus' text format
PATIENCE: Final = 10.0  # seconds that a client may take over its request
MOST: Final = 16  # clients at a time: the descriptors of this process are wanted for files
POLL: Final = 0.1  # seconds until the server notices that it is to end
QUIET: Final = "none was written yet: a few seconds more"


class _Handler(BaseHTTPRequestHandler):
    timeout = PATIENCE
    server: "_Server"

    def do_GET(self) -> None:
        """The document; 503 before there is one, 404 anywhere else."""
        if self.path.partition("?")[0] not in PATHS:
            self.send_error(HTTPStatus.NOT_FOUND)
        elif body := self.server.content():
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        else:
            self.send_error(HTTPStatus.SERVICE_UNAVAILABLE, explain=QUIET)

    def version_string(self) -> str:
        """Nothing of this machine's software."""
        return "watcher"

    def log_message(self, *_arguments: object) -> None:
        """A request is no event: the log is JSON lines."""


class _Server(ThreadingHTTPServer):
    def __init__(self, host: str, port: int, content: Callable[[], bytes]) -> None:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        self.address_family, _, _, _, address = found[0]
        self.content = content
        self._room = threading.BoundedSemaphore(MOST)
        super().__init__((str(address[0]), port), _Handler)

    def server_bind(self) -> None:
        """Without asking a name server what this machine is called, as http.server does."""
        TCPServer.server_bind(self)
        host, port = self.server_address[:2]
        self.server_name, self.server_port = str(host), int(port)

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread of its own, while there is room for one more; else it is hung up on."""
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # the machine gives no thread
            self._room.release()
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """As ThreadingMixIn does it, and room for the next."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002  socketserver's own signature
        """A client that hung up is no fault of ours; what else there is, `hooks` says."""
        error = sys.exception()
        if error and not isinstance(error, OSError):
            raise error


@contextmanager
def serving(address: str, content: Callable[[], bytes]) -> Iterator[tuple[str, int]]:
    """Serve what `content` gives at `host:port` or `[v6]:port`; gives host and port.

    ConfigurationError where that address can't be had.
    """
    host, _, port = address.rpartition(":")
    try:
        server = _Server(host.strip("[]"), int(port), content)
    except OSError as error:  # of the machine, as a wrong path is: what was typed is wrong
        why = f"metrics.listen: {address} can't be had: {error.strerror or error}"
        raise ConfigurationError(
            why, hint=f"ss -ltnp 'sport = :{port}' shows who has it"
        ) from error
    thread = threading.Thread(target=server.serve_forever, args=(POLL,), name="metrics")
    thread.daemon = True
    thread.start()
    try:
        yield server.server_name, server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
