"""What a check looks at: one installation, seen with its daemon's eyes."""

import os
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from watcher.assembly import check_owner
from watcher.commands.accepting import remembered_mounts
from watcher.core.errors import StorageError
from watcher.io import access
from watcher.io.lease import is_locked
from watcher.io.mounts import (
    Mount,
    bare_point,
    may_hang,
    mount_of,
    named_points,
    read_mounts,
    resolved,
)
from watcher.io.stores import KINDS, MARKER, Storage
from watcher.io.units import Unit, units_of
from watcher.report.checked import Line
from watcher.report.mending import By, Mender
from watcher.settings import Settings

FOLDER_MODE: Final = "2770"  # of a drop: its group is that of the senders


@dataclass(frozen=True)
class Scene:
    """The settings, the stores as found, and who looks. `silent`: places that do not answer."""

    settings: Settings
    storage: Storage
    mounts: tuple[Mount, ...]
    mend: Mender
    units: tuple[Unit, ...]
    silent: frozenset[str] = frozenset()

    @property
    def remembered(self) -> Mapping[str, str]:
        """What was mounted at the drops when last seen, by name; nothing of a faulty ledger."""
        return {} if isinstance(self._remembered, StorageError) else self._remembered

    @property
    def ledger_fault(self) -> StorageError | None:
        """Why the ledger can't be used."""
        return self._remembered if isinstance(self._remembered, StorageError) else None

    @cached_property
    def _remembered(self) -> Mapping[str, str] | StorageError:
        if self.storage.path("state") in self.silent:
            return {}
        try:
            return remembered_mounts(self.settings, self.storage)
        except StorageError as error:
            return error

    def mount(self, path: str) -> Mount:
        """What a path lies on. Nothing is asked of a share."""
        return mount_of(resolved(path, self.mounts), self.mounts)

    def bare(self, path: str) -> str:
        """The mount point the machine names, at or above a path, where nothing is mounted."""
        return bare_point(path, self.storage.points, self.mounts)

    def named_by(self, point: str) -> By:
        """What says which mount belongs there. StorageError where the fstab can't be read."""
        if point not in self.storage.points:
            return ""
        return "fstab" if point in named_points(units="") else "unit"

    @property
    def unit(self) -> str:
        """The name of the first unit that starts the daemon; empty where none does."""
        return next((unit.name for unit in self.units), "")

    def runs(self) -> bool:
        """Whether a daemon holds the state, as far as this user can tell."""
        if self.storage.path("state") in self.silent:
            return False
        try:
            return is_locked(self.storage.marker("state"))
        except StorageError:
            return False

    def readable(self) -> Iterator[Line]:
        """A line where the daemon's user may not read the configuration that root has read."""
        if not access.may(self.mend.config, "r"):
            config, group = self.mend.config, self.mend.group
            text = f"{self.mend.user} may not read {config}"
            let = (self.mend.root("chgrp", group, config), self.mend.root("chmod", "g+r", config))
            yield Line("error", "configuration", text, code=2, command=" && ".join(let))

    def is_bare(self, of: str, path: str) -> Line | None:
        """A line for a place that lies on a mount that is named and not there."""
        if point := self.bare(path):
            text = f"nothing is mounted at {point}, which fstab or a mount unit names"
            command = self.mend.mount(point, by=self.named_by(point))
            return Line("error", of, text, code=10, command=command)
        return None

    def is_closed(self, of: str, path: str) -> Line | None:
        """A line for a place that the daemon's user can't come to."""
        if closed := access.closed_way(path):
            text = f"{self.mend.user} can't come to {path}: {closed} is closed"
            return Line("error", of, text, code=2, command=self.let_in(closed, "x"))
        return None

    def is_blocked(self, of: str, path: str, code: int) -> Line | None:
        """A line for a folder whose name, or that of one above it, is something else's."""
        above = access.nearest(path)
        if os.path.isdir(above):
            return None
        hint = "move it away, mount what a link leads to, or name another folder"
        return Line("error", of, f"{above} is no folder", hint, code, self.mend.edit())

    def let_in(self, path: str, wanted: str) -> str:
        """The command that gives the daemon's user rights on what is there."""
        found = access.rights(path)
        bits = sum({"r": 4, "w": 2, "x": 1}[each] for each in wanted)
        return self.mend.let_in(path, wanted, mine=found.mine, joining=found.joining(bits))

    def hangs(self, of: str, path: str) -> Line:
        """The line for a place that does not answer."""
        mount = self.mount(path)
        point = os.fsdecode(mount.point)
        text = f"{point} ({mount.type} {mount.source}) did not answer for {access.PATIENCE:.0f} s"
        hint = "look at the server first; then mount it again"
        command = self.mend.root("umount", "--lazy", "--force", point)
        return Line("error", of, text, hint, 10, command, final=True)


def scene(settings: Settings) -> Scene:
    """The installation of these settings. Root becomes the user whose daemon it is.

    ConfigurationError for another user than the one the state belongs to.
    """
    config = os.path.abspath(settings.source)
    before = mender(config)
    units, mounts, storage = units_of(config), read_mounts(), Storage(settings.stores)
    silent = _silent(_places(settings, storage), mounts)
    answering = [kind for kind in KINDS if storage.path(kind) not in silent]
    found = storage.ids(answering)
    storage.id = next(iter(found.values()), "")
    if before.is_root:
        _become(storage, [*found], units, silent)
    elif "state" in found:
        check_owner(storage)
    mend = replace(mender(config), is_root=before.is_root, may_edit=before.may_edit)
    return Scene(settings, storage, mounts, mend, tuple(units), silent)


def mender(config: str) -> Mender:
    """The commands of this user, for the daemon of this user."""
    user, group = access.user_name(os.geteuid()), access.group_name(os.getegid())
    return Mender(
        program=program(),
        config=os.path.abspath(config),
        user=user,
        group=group,
        is_root=os.geteuid() == 0,
        may_edit=access.may(config, "w"),
    )


def program() -> str:
    """What starts this program in a shell."""
    own = os.path.join(os.path.dirname(sys.executable), "watcher")
    known = shutil.which("watcher")
    if not os.path.exists(own):
        return f"{shlex.quote(sys.executable)} -m watcher"
    return "watcher" if known and os.path.samefile(known, own) else shlex.quote(own)


def _places(settings: Settings, storage: Storage) -> Iterable[str]:
    yield from (drop.path for drop in settings.drops)
    yield from (storage.path(kind) for kind in KINDS)
    yield settings.stores.root
    if settings.log.file:
        yield os.path.dirname(settings.log.file)


def _silent(places: Iterable[str], mounts: tuple[Mount, ...]) -> frozenset[str]:
    """Those on a share that does not answer; each place is asked, as a share may answer in part."""
    on = {place: mount_of(resolved(place, mounts), mounts) for place in places}
    asked = [place for place, mount in on.items() if may_hang(mount, mounts)]
    return access.silent(asked, MARKER, access.PATIENCE)


def _become(storage: Storage, found: list[str], units: list[Unit], silent: frozenset[str]) -> None:
    """The owner of the state, else of another store, else the unit's user, else the root's owner.

    So nothing a check makes belongs to root, and what root alone may do is not said to be well.
    """
    owners = [access.owner(storage.path(kind)) for kind in found]
    owners += [access.number_of(unit.last("User")) for unit in units]
    root = storage.stores.root
    owners += [] if root in silent else [access.owner(root)]
    first = next((each for each in owners if each is not None), 0)
    if first != 0:
        access.become(first)
