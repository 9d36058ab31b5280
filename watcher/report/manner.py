"""How a drop takes what lies in it, in words: `check`, `status` (spec 7)."""

from watcher.core.notation import format_duration, format_size
from watcher.core.policy import Drop, Limits

MARKER = "`.complete`"


def manner(drop: Drop) -> str:
    """Mode and destination in one word each, as the configuration calls them."""
    return f"{drop.mode}, to the {drop.dest}"


def units(drop: Drop, rest: float) -> str:
    """What counts as a unit here, and when it is complete. `rest`: seconds, of the drop."""
    if drop.mode == "gradual":
        return "file by file; an archive file (.zip .tar .tar.gz .tgz) is a unit"
    strays = "refused for any member that is not DICOM" if drop.strict else "strays set aside"
    return (
        "each top-level folder, archive file (.zip .tar .tar.gz .tgz) or loose file is a unit, "
        f"taken whole or not at all: after {format_duration(rest)} without a change, at once with "
        f"{MARKER}; {strays}"
    )


def more(drop: Drop) -> str:
    """What else decides where its files go and what stays; empty where nothing does."""
    said = []
    if drop.layout:
        said.append(f"sessions are named by folders: {'/'.join(drop.layout)}")
    if drop.after == "keep":
        said.append("sources are kept, each taken once")
    if drop.dest == "archive":
        said.append("archived without a person, whatever auto_archive says")
    return "; ".join(said)


def bounds(limits: Limits) -> str:
    """What an archive file may hold."""
    return (
        f"an archive file may have {limits.entries} members, {format_size(limits.bytes)} unpacked "
        f"and {limits.ratio} times its own size; sequences {limits.depth} deep"
    )
