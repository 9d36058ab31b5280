"""The commands that mend what a check found, as a shell takes them (POSIX sh)."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from watcher.core.shares import Wish

UNITS = "/etc/systemd/system"

By = Literal["fstab", "unit", ""]
"""What names a mount: fstab(5), systemd.mount(5), or nothing, which knows no credentials either."""


@dataclass(frozen=True, slots=True)
class Mender:
    """Whose shell it is, and whose daemon. Paths are given as they are; quoted here."""

    program: str  # what starts `watcher` in that shell, quoted
    config: str
    user: str  # the daemon's
    group: str
    is_root: bool  # the shell's user
    may_edit: bool = True  # that user, the configuration

    def root(self, *words: str) -> str:
        """Something only root may do."""
        said = shlex.join(words)
        return said if self.is_root else f"sudo {said}"

    def watcher(self, *words: str) -> str:
        """A command of this program, on the same configuration."""
        return f"{self.program} {shlex.join([*words, '--config', self.config])}"

    def accept(self) -> str:
        """Take a change that was meant."""
        return self.watcher("check", "--accept")

    def edit(self) -> str:
        """Change the configuration by hand."""
        name = shlex.quote(self.config)
        return f'"${{EDITOR:-vi}}" {name}' if self.may_edit or self.is_root else f"sudo -e {name}"

    def folder(self, path: str, *, closed: bool, mode: str) -> str:
        """Make a folder of the daemon's; `closed`: its parent is, to that user."""
        if not closed and not self.is_root:
            return shlex.join(["mkdir", "-p", path])
        owner = ("-o", self.user, "-g", self.group)
        return self.root("install", "-d", *owner, "-m", mode, path)

    def mode(self, change: str, path: str, *, mine: bool) -> str:
        """chmod(1)."""
        words = ("chmod", change, path)
        return shlex.join(words) if mine else self.root(*words)

    def let_in(self, path: str, rights: str, *, mine: bool, joining: str = "") -> str:
        """Give the daemon's user rights such as `rwx` on what is there, and take nobody's.

        `mine`: it is that user's own; `joining`: a group that has them.
        """
        if mine:
            return shlex.join(["chmod", f"u+{rights}", path])
        if joining:
            return self.root("usermod", "-a", "-G", joining, self.user)
        return self.root("setfacl", "-m", f"u:{self.user}:{rights}", path)

    def let_in_all(self, path: str) -> str:
        """The same for all that is and will be in a folder, whoever makes it."""
        entries = f"u:{self.user}:rwX,d:u:{self.user}:rwX"
        return self.root("setfacl", "-R", "-m", entries, path)

    def own(self, *paths: str) -> str:
        """Make these the daemon's."""
        return self.root("chown", f"{self.user}:{self.group}", *paths)

    def mount(self, point: str, was: str = "", *, by: By) -> str:
        """Mount again what `was` there, as "type source"; no unit is known to the program mount."""
        kind, _, source = was.partition(" ")
        if by == "unit":
            return self.root("systemctl", "start", point)
        return self.root("mount", *(() if by or not source else ("-t", kind, source)), point)

    def remount(self, point: str, wishes: Sequence[Wish], *, by: By) -> str:
        """Mount it anew with further options; few of a share's can be changed in place.

        Empty where nothing names it: what else it was mounted with can't be given again.
        """
        if not by:
            return ""
        if by == "unit":
            edit = self.root("systemctl", "edit", "--full", point)
            return f"{edit} && {self.root('systemctl', 'restart', point)}"
        added = ",".join(wish.option for wish in wishes)
        return f"{self.root('umount', point)} && {self.root('mount', '-o', added, point)}"

    def closed_in(self, path: str) -> str:
        """Show the folders right in a drop that the daemon's user can't empty, as find(1) asks."""
        rights = ("!", "(", "-readable", "-writable", "-executable", ")")
        words = ("find", path, "-mindepth", "1", "-maxdepth", "1", "-type", "d", *rights)
        return shlex.join(("runuser", "-u", self.user, "--", *words) if self.is_root else words)

    def account(self, name: str, root: str, places: Sequence[str], *, is_known: bool) -> str:
        """A user of the daemon's own, who owns the stores, and nothing beside them."""
        shell = ("--system", "--user-group", "--home-dir", root, "--shell", "/usr/sbin/nologin")
        made = [] if is_known else [self.root("useradd", *shell, name)]
        there = [self.root("install", "-d", root), self.root("chown", f"{name}:", root)]
        own = [self.root("chown", "-R", f"{name}:", *places)] if places else []
        return " && ".join([*made, *there, *own])

    def library(self, python: str, wanted: str, *, own: bool) -> str:
        """A newer version of what the program needs; `own`: its environment is this user's."""
        words = (python, "-m", "pip", "install", wanted)
        return shlex.join(words) if own else self.root(*words)

    def sizes(self, path: str, *of: str) -> str:
        """Show what takes the room: what may go, a person decides."""
        return f"{self.root('du', '-x', '-h', *of, '-d', '2', path)} | sort -h | tail"

    def setting(self, name: str, value: int) -> str:
        """A sysctl(8) of the kernel, now and after the next boot."""
        file = f"/etc/sysctl.d/60-watcher-{name.rpartition('.')[2].replace('_', '-')}.conf"
        return f"{self.write(file, f'{name} = {value}')} && {self.root('sysctl', '-q', '-p', file)}"

    def write(self, file: str, *lines: str) -> str:
        """A file of root's with these lines."""
        text = " ".join(shlex.quote(line) for line in lines)
        return f"printf '%s\\n' {text} | {self.root('tee', file)} > /dev/null"

    def drop_in(self, unit: str, name: str, *lines: str) -> str:
        """Lines for the [Service] of a unit, systemd.unit(5)."""
        folder = f"{UNITS}/{unit}.d"
        made = self.root("install", "-d", folder)
        written = self.write(f"{folder}/{name}.conf", "[Service]", *lines)
        return f"{made} && {written} && {self.root('systemctl', 'daemon-reload')}"
