"""What the mount of a share should have, judged by the options its kernel shows (nfs(5), cifs(8)).

Shown are those in force, in the kernel's own spelling: `lookupcache=pos`, never the default `all`.
"""

from dataclasses import dataclass
from typing import Final

NFS: Final = frozenset({"nfs", "nfs4"})
SMB: Final = frozenset({"cifs", "smb3"})


@dataclass(frozen=True, slots=True)
class Wish:
    """An option that a mount lacks, as `mount -o` takes it, and what happens without."""

    option: str
    without: str


def wishes(kind: str, options: str, *, is_store: bool) -> tuple[Wish, ...]:
    """What a mount of type `kind` with these options lacks as a drop, or as a store."""
    shown = frozenset(options.split(","))
    if kind in NFS:
        return tuple(_of_nfs(shown, is_store=is_store))
    if kind in SMB:
        return tuple(_of_smb(shown, is_store=is_store))
    return ()


def _of_nfs(shown: frozenset[str], *, is_store: bool) -> list[Wish]:
    found = []
    if not is_store and not shown & {"lookupcache=pos", "lookupcache=none"}:
        found.append(Wish("lookupcache=positive", "a name sent again is found 30 s or more later"))
    if is_store and shown & {"soft", "softerr", "softreval"}:
        found.append(Wish("hard", "a server that is slow fails writes that it may have done"))
    return found


def _of_smb(shown: frozenset[str], *, is_store: bool) -> list[Wish]:
    found = []
    if "serverino" not in shown:
        found.append(Wish("serverino", "a file's number changes: it is taken for another one"))
    if is_store and "nobrl" not in shown:
        found.append(Wish("nobrl", "what one process has locked no other can read"))
    return found


def is_case_blind(kind: str, options: str) -> bool:
    """Whether names that differ by case only are one file there, as far as type and options say."""
    return kind in {"vfat", "msdos", "exfat", "ntfs", "ntfs3", "fuseblk"} or (
        kind in SMB and "nocase" in options.split(",")
    )
