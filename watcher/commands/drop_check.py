"""What `watcher check` says of a drop."""

import os
from collections.abc import Iterator, Mapping
from typing import Final

from watcher.commands.looked import FOLDER_MODE, Scene
from watcher.core.policy import Drop
from watcher.core.shares import is_case_blind, wishes
from watcher.io import access
from watcher.io.lookup import is_linkable
from watcher.io.mounts import is_network, mounted_at
from watcher.report.checked import Line
from watcher.report.manner import manner, more, units
from watcher.report.mending import By

_ADDED: Final[Mapping[By, str]] = {
    "fstab": "stop the daemon first; {point} in fstab",
    "unit": "stop the daemon first; add it to Options= in the unit of {point}",
    "": "neither fstab nor a mount unit names {point}: add it where that is mounted",
}


def drop_lines(scene: Scene, drop: Drop) -> Iterator[Line]:
    """How it takes what lies there, whether it is there, and what is wrong with it."""
    of = f"drop {drop.name}"
    yield from _manner(scene, of, drop)
    if drop.path in scene.silent:
        yield scene.hangs(of, drop.path)
    elif fault := _missing(scene, of, drop):
        yield fault
    else:
        yield from _rights(scene, of, drop)
        yield from _share(scene, of, drop)
        yield from _file_system(scene, of, drop)


def _manner(scene: Scene, of: str, drop: Drop) -> Iterator[Line]:
    yield Line("ok", of, f"{drop.path}: {manner(drop)}")
    yield Line("ok", of, units(drop, drop.inactivity or scene.settings.sessions.inactivity))
    if said := more(drop):
        yield Line("ok", of, said)
    stores = scene.settings.stores
    if drop.dest == "archive" and scene.mount(stores.prearchive) != scene.mount(stores.archive):
        text = "prearchive and archive lie on two mounts: what it sends there is copied once more"
        hint = "set storage.prearchive beside storage.archive, before the first start"
        yield Line("warning", of, text, hint, command=scene.mend.edit())


# -- whether it is there ---------------------------------------------------------------------------


def _missing(scene: Scene, of: str, drop: Drop) -> Line | None:
    fault = scene.is_bare(of, drop.path) or scene.is_closed(of, drop.path)
    if fault := fault or scene.is_blocked(of, drop.path, 10):
        return fault
    if not os.path.isdir(drop.path):
        closed_parent = not access.may(access.nearest(drop.path), "wx")
        command = scene.mend.folder(drop.path, closed=closed_parent, mode=FOLDER_MODE)
        text, hint = f"{drop.path} is not there", "or mount what belongs there"
        return Line("error", of, text, hint, 10, command)
    return _mount_fault(scene, of, drop)


def _mount_fault(scene: Scene, of: str, drop: Drop) -> Line | None:
    """As the daemon sees it (stages/looking.py): a mount is known by its type and source."""
    here, before = mounted_at(drop.path, scene.mounts), scene.remembered.get(drop.name, "")
    again = scene.mend.mount(drop.path, before, by=scene.named_by(drop.path))
    if before and not here:
        text = f"{before} was mounted there and is not now"
        hint = f"or, where that is meant: {scene.mend.accept()}"
        return Line("error", of, text, hint, 10, again)
    if before and here != before:
        text = f"{here} is mounted there, and before it was {before}"
        return Line("error", of, text, "or mount the other", 10, scene.mend.accept(), final=True)
    if drop.mount and not here:
        text, hint = "nothing is mounted there, and mount = true", "mount it, or set mount = false"
        return Line("error", of, text, hint, 10, scene.mend.edit())
    return None


# -- who may do what -------------------------------------------------------------------------------


def _rights(scene: Scene, of: str, drop: Drop) -> Iterator[Line]:
    user = scene.mend.user
    if not access.may(drop.path, "rx"):
        text = f"{user} may not read {drop.path}"
        wanted = "rwx" if drop.after == "remove" else "rx"
        yield Line("error", of, text, code=2, command=scene.let_in(drop.path, wanted))
    elif drop.after == "remove":
        yield from _removing(scene, of, drop)


def _removing(scene: Scene, of: str, drop: Drop) -> Iterator[Line]:
    """Whether what was filed can be removed; one reason is enough."""
    keep, found = 'or set after = "keep"', access.rights(drop.path)
    user, stay = scene.mend.user, "every source stays, and is remembered"
    if access.is_readonly(drop.path):
        point = os.fsdecode(scene.mount(drop.path).point)
        command = scene.mend.root("mount", "-o", "remount,rw", point)
        yield Line("warning", of, f"{point} is read-only: {stay}", keep, command=command)
    elif not access.may(drop.path, "w"):
        text = f"{user} may not remove what was filed: {stay}"
        yield Line("warning", of, text, keep, command=scene.let_in(drop.path, "rwx"))
    elif found.mode & 0o1000 and not found.mine:
        text = f"only its owner may remove a file there (sticky), not {user}: {stay}"
        command = scene.mend.mode("-t", drop.path, mine=False)
        yield Line("warning", of, text, keep, command=command)
    elif closed := sum(1 for _ in access.closed_folders(drop.path)):
        text = f"{user} can't empty {closed} of the folders in it"  # names may be patients'
        show = scene.mend.closed_in(drop.path)
        hint = f"needs the package acl; counts for folders to come, too; they are shown by: {show}"
        yield Line("warning", of, text, hint, command=scene.mend.let_in_all(drop.path))


# -- what it lies on -------------------------------------------------------------------------------


def _share(scene: Scene, of: str, drop: Drop) -> Iterator[Line]:
    mount = scene.mount(drop.path)
    if not is_network(mount, scene.mounts):
        return
    if drop.watch == "native":
        text = f"it lies on {mount.type}: changes made by others are not told, only found by looks"
        yield Line("warning", of, text, 'set watch = "auto"', command=scene.mend.edit())
    else:
        yield Line("ok", of, f"it lies on {mount.type}: it is polled every rescan_interval")
    yield from share_lines(scene, of, drop.path, is_store=False)


def share_lines(scene: Scene, of: str, path: str, *, is_store: bool) -> Iterator[Line]:
    """What the mount of a drop or store lacks."""
    mount = scene.mount(path)
    lacking = wishes(mount.type, mount.options, is_store=is_store)
    if lacking:
        point = os.fsdecode(mount.point)
        said = "; ".join(f"without {wish.option} {wish.without}" for wish in lacking)
        by = scene.named_by(point)
        command = scene.mend.remount(point, lacking, by=by)
        yield Line("warning", of, said, _ADDED[by].format(point=point), command=command)


def _file_system(scene: Scene, of: str, drop: Drop) -> Iterator[Line]:
    mount = scene.mount(drop.path)
    if is_case_blind(mount.type, mount.options):
        text = f"on {mount.type} names that differ by case only are one file"
        yield Line("ok", of, text)
    store = scene.settings.stores.prearchive
    if drop.after == "remove" and store not in scene.silent and not is_linkable(drop.path, store):
        text = "files are copied, not linked: another owner, or another file system than prearchive"
        yield Line("ok", of, text)
