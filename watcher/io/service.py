"""What systemd is told: ready, stopping, status, still alive (sd_notify(3), one datagram each)."""

import socket

PATIENCE = 1.0
"""Seconds a full queue at systemd's end may hold us up: less than any watchdog."""


def notify(state: str, address: str | None) -> bool:
    """Whether `state` (lines such as "READY=1") was handed over; never raises.

    `address` is $NOTIFY_SOCKET: a path, or "@name" for an abstract socket. Without one (not
    started by systemd) there is nobody to tell. The service works the same either way, so
    failing to tell is an answer, not an error.
    """
    if not address or address[0] not in "/@":
        return False
    target = f"\0{address[1:]}" if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.settimeout(PATIENCE)
            line.connect(target)
            line.sendall(state.encode())
    except (OSError, ValueError):  # nobody listens; or an address no socket can have
        return False
    return True
