"""What `watcher check` says of the stores, and of the log's file."""

import os
from collections.abc import Iterator
from typing import Final

from watcher.commands.drop_check import share_lines
from watcher.commands.looked import Scene
from watcher.core.errors import LedgerError, MissingPlaceError, StorageError
from watcher.core.notation import format_size
from watcher.io import access
from watcher.io.lease import FILE
from watcher.io.ledger import NAME
from watcher.io.mounts import is_network, mounted_at
from watcher.io.room import free
from watcher.report.checked import Line

INODES: Final = 0.01  # of all inodes must be free (spec 3, `reserve`)
STORE_MODE: Final = "2750"
LOG_MODE: Final = "0750"


def store_lines(scene: Scene, kind: str) -> Iterator[Line]:
    """Whether a store is there, can be written, has room and suits."""
    of, path = f"store {kind}", scene.storage.path(kind)
    if path in scene.silent:
        yield scene.hangs(of, path)
        return
    if kind == "state":
        yield from _state_fault(scene, path)
    top = _top(scene, path)
    fault = scene.is_bare(of, path) or scene.is_closed(of, top)
    if fault := fault or scene.is_blocked(of, path, 10 if scene.storage.id else 2):
        yield fault
    elif not scene.storage.id:
        yield _unborn(scene, of, path)
    elif not scene.storage.is_there(kind):
        yield _missing(scene, of, kind)
    elif not access.may(path, "rwx"):
        yield _closed(scene, of, path)
    else:
        yield _space(scene, of, path)
        yield from _modes(scene, of, kind)
        yield from share_lines(scene, of, path, is_store=True)
        if kind == "state":
            yield from _locks(scene, of, path)
            yield from _ledger(scene, of, path)


def _top(scene: Scene, path: str) -> str:
    """The root for a store that lies below it, else the store itself."""
    root = scene.settings.stores.root
    return root if f"{path}/".startswith(f"{root}/") else path


def log_lines(scene: Scene) -> Iterator[Line]:
    """Whether the log's file can be written, and has room."""
    path = scene.settings.log.file
    if path is None:
        return
    folder = os.path.dirname(path)
    if folder in scene.silent:
        yield scene.hangs("log.file", folder)
    elif os.path.isdir(path):
        yield _log_fault(scene, path, folder)
    elif access.may(path, "w") if os.path.lexists(path) else access.may(folder, "wx"):
        yield _log_space(scene, path)
    else:
        yield _log_fault(scene, path, folder)


# -- whether it is there ---------------------------------------------------------------------------


def _state_fault(scene: Scene, path: str) -> Iterator[Line]:
    mount = scene.mount(path)
    if is_network(mount, scene.mounts):
        text = f"it lies on {mount.type}, and the ledger needs a local file system"
        hint = 'set storage.state = "/var/lib/watcher/state" or another local folder'
        yield Line("error", "store state", text, hint, 2, scene.mend.edit())


def _unborn(scene: Scene, of: str, path: str) -> Line:
    """Before the first start: it is made then, if its nearest parent lets us."""
    above = access.nearest(path)
    if access.may(above, "wx"):
        return Line("ok", of, f"{path} is made at the first start")
    text = f"{scene.mend.user} can't make {path}: {above} is closed to it"
    top = _top(scene, path)
    if f"{above}/".startswith(f"{top}/"):
        return Line("error", of, text, code=2, command=_opened(scene, above))
    command = scene.mend.folder(top, closed=True, mode=STORE_MODE)
    return Line("error", of, text, code=2, command=command)


def _opened(scene: Scene, path: str) -> str:
    """The command that makes a folder the daemon's; its own is only closed."""
    return scene.let_in(path, "rwx") if access.rights(path).mine else scene.mend.own(path)


def _closed(scene: Scene, of: str, path: str) -> Line:
    if access.is_readonly(path):
        point = os.fsdecode(scene.mount(path).point)
        command = scene.mend.root("mount", "-o", "remount,rw", point)
        hint = "a fault of the disk makes it so, too: look at dmesg"
        return Line("error", of, f"{point} is read-only", hint, 2, command)
    text = f"{scene.mend.user} may not write {path}"
    return Line("error", of, text, code=2, command=_opened(scene, path))


def _missing(scene: Scene, of: str, kind: str) -> Line:
    path, before = scene.storage.path(kind), scene.storage.mounted.get(kind, "")
    here = mounted_at(path, scene.mounts)
    if before and here and here != before:
        text = f"{here} is mounted at {path}, and before it was {before}"
        return Line("error", of, text, "or mount the other", 10, scene.mend.accept(), final=True)
    if before and not here:
        text = f"{before} was mounted at {path} and is not now"
        hint = f"or, where that is meant: {scene.mend.accept()}"
        command = scene.mend.mount(path, before, by=scene.named_by(path))
        return Line("error", of, text, hint, 10, command)
    hint = "mount it instead, if it should be there"
    if kind == "state" and not os.path.lexists(path):
        text = f"{path} has no marker: the next start makes a new one, filled from the tree"
        return Line("warning", of, text, hint, command=scene.mend.accept(), final=True)
    text = f"{path} has no marker of this installation"
    return Line("error", of, text, hint, 10, scene.mend.accept(), final=True)


# -- what is wrong with it -------------------------------------------------------------------------


def _space(scene: Scene, of: str, path: str) -> Line:
    reserve = scene.settings.reserve
    try:
        left = free(path)
    except (MissingPlaceError, StorageError) as error:
        return Line("error", of, f"{path}: {error}", code=10, command=scene.mend.edit())
    said, hint = f"{path}: {format_size(left.bytes_free)} free", "what takes the room is shown"
    if left.bytes_free < reserve:
        text = f"{said}, less than the reserve of {format_size(reserve)}: work pauses"
        return Line("warning", of, text, hint, command=scene.mend.sizes(path))
    if left.inodes_total and left.inodes_free < INODES * left.inodes_total:
        text = f"{said}, but fewer than 1 % of its inodes: work pauses"
        return Line("warning", of, text, hint, command=scene.mend.sizes(path, "--inodes"))
    return Line("ok", of, said)


def _modes(scene: Scene, of: str, kind: str) -> Iterator[Line]:
    """Modes and group follow the root (spec 8): what was made by hand may differ."""
    path, root = scene.storage.path(kind), scene.settings.stores.root
    found = access.rights(path)
    if found.mode & 0o002:
        text, command = f"everybody may write in {path}", scene.mend.mode("o-w", path, mine=True)
        yield Line("warning", of, text, command=command)
    if kind == "state" or _top(scene, path) != root or root in scene.silent:
        return
    wanted = access.rights(root)
    if wanted.mode & 0o2000 and (found.group != wanted.group or not found.mode & 0o2000):
        text = f"{root} hands on its group {wanted.group}, and {path} does not"
        commands = (
            scene.mend.root("chgrp", wanted.group, path),
            scene.mend.root("chmod", "g+s", path),
        )
        yield Line("warning", of, text, command=" && ".join(commands))


def _locks(scene: Scene, of: str, path: str) -> Iterator[Line]:
    """Whether locks work, on the file that leases are held in."""
    leases = os.path.join(path, FILE)
    if not os.path.lexists(leases):
        return
    try:
        said = "" if access.locks_hold(leases) else "two processes can hold one lock"
    except StorageError as error:
        said = str(error)
    if said:
        hint = f"set storage.state on another local disk than {scene.mount(path).type}"
        yield Line("error", of, f"locks do not work there: {said}", hint, 2, scene.mend.edit())


def _ledger(scene: Scene, of: str, path: str) -> Iterator[Line]:
    """One that is damaged is no loss: a start makes it anew. One that can't be opened stops it."""
    error, ledger = scene.ledger_fault, os.path.join(path, NAME)
    if os.path.isfile(ledger) and not access.may(ledger, "rw"):
        text = f"{scene.mend.user} may not write {ledger}"
        yield Line("error", of, text, code=2, command=scene.mend.own("-R", path))
    elif isinstance(error, LedgerError):
        again = scene.mend.root("systemctl", "restart", scene.unit)
        command = again if scene.unit else scene.mend.watcher("run", "--once")
        hint = "the next start sets it aside and makes it anew from the stores"
        yield Line("warning", of, str(error), hint, command=command)
    elif error:  # a daemon that runs may hold it for a while
        code = 0 if scene.runs() else 2
        command = scene.mend.root("ls", "-l", path)
        text = f"{ledger}: {error}"
        yield Line("error" if code else "warning", of, text, error.hint, code, command)


# -- the log ---------------------------------------------------------------------------------------


def _log_fault(scene: Scene, path: str, folder: str) -> Line:
    text = f"{scene.mend.user} can't write {path}: stdout only"
    if not os.path.isdir(access.nearest(folder)) or os.path.isdir(path):
        hint = "a folder has the file's name, or a file that of its folder: name another"
        return Line("warning", "log.file", text, hint, command=scene.mend.edit())
    if not os.path.lexists(folder):
        closed = not access.may(access.nearest(folder), "wx")
        command = scene.mend.folder(folder, closed=closed, mode=LOG_MODE)
        return Line("warning", "log.file", text, command=command)
    if os.path.lexists(path) and access.may(folder, "wx"):
        mine = access.rights(path).mine
        command = scene.mend.mode("u+rw", path, mine=True) if mine else scene.mend.own(path)
        return Line("warning", "log.file", text, command=command)
    if access.rights(folder).mine:
        command = scene.mend.mode("u+wx", folder, mine=True)
        return Line("warning", "log.file", text, command=command)
    if access.holds_only(folder, os.path.basename(path)):
        return Line("warning", "log.file", text, command=scene.mend.own("-R", folder))
    own = f"{folder}/watcher"
    hint = f'then set log.file = "{own}/watcher.jsonl": {folder} is not only ours'
    command = f"{scene.mend.folder(own, closed=True, mode=LOG_MODE)} && {scene.mend.edit()}"
    return Line("warning", "log.file", text, hint, command=command)


def _log_space(scene: Scene, path: str) -> Line:
    """One that is full loses lines; stdout still has them."""
    folder, wanted = os.path.dirname(path), scene.settings.log.rotate
    try:
        left = free(folder).bytes_free
    except (MissingPlaceError, StorageError) as error:
        return Line("warning", "log.file", f"{path}: {error}", command=scene.mend.edit())
    if left < wanted:
        text = f"{path}: {format_size(left)} free, less than one file of {format_size(wanted)}"
        return Line("warning", "log.file", text, command=scene.mend.sizes(folder))
    return Line("ok", "log.file", path)
