"""A client of SMB that makes files as a Windows does: all at their full size, then filled.

Samba's own client library. It says `sized`, and fills the files when it reads a line. Where, who
and what stand in the environment: HOST, SENDER, PASSWORD, NAME, and the folder SOURCE.
"""

import ctypes
import os
import sys

BLOCK = 60_000  # bytes of one write
ASK = ctypes.CFUNCTYPE(
    None, *(ctypes.c_char_p,) * 2, *(ctypes.c_void_p, ctypes.c_int) * 3
)  # server, share; then three buffers: work group, user, password


@ASK
def who(_server, _share, _group, _room, user, user_room, password, password_room):
    for buffer, room, name in (
        (user, user_room, "SENDER"),
        (password, password_room, "PASSWORD"),
    ):
        ctypes.memmove(
            buffer, os.environ[name].encode()[: room - 1] + b"\0", len(os.environ[name]) + 1
        )


def main():
    """Make, size, wait, fill, close."""
    smb = ctypes.CDLL("libsmbclient.so.0", use_errno=True)
    smb.smbc_ftruncate.argtypes = (ctypes.c_int, ctypes.c_longlong)
    done(smb.smbc_init(who, 0))
    folder = f"smb://{os.environ['HOST']}/drop/{os.environ['NAME']}"
    done(smb.smbc_mkdir(folder.encode(), 0o755))
    source = os.environ["SOURCE"]
    made = {}
    for name in sorted(os.listdir(source)):
        with open(f"{source}/{name}", "rb") as file:
            data = file.read()
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        number = done(smb.smbc_open(f"{folder}/{name}".encode(), flags, 0o644))
        done(smb.smbc_ftruncate(number, len(data)))
        made[number] = data
    print("sized", flush=True)
    sys.stdin.readline()
    for number, data in made.items():
        for at in range(0, len(data), BLOCK):
            block = data[at : at + BLOCK]
            assert len(block) == done(smb.smbc_write(number, block, len(block)))
        done(smb.smbc_close(number))


def done(answer):
    """What a call gave; OSError where it could not."""
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return answer


main()
