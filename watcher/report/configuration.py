"""The configuration `watcher init` writes: every key there is, defaults commented out (spec 3)."""

import json
from collections.abc import Sequence
from typing import Final

_HEAD: Final = """\
# prearchive-watcher. Lines with one # are the defaults: take the # away to change one.
# Durations: "500ms" "2s" "5m" "1h" "30d". Sizes: "512B" "64KiB" "100MiB" "5GiB".
# After a change: watcher check, then restart the daemon.

[storage]
root = {root}
# prearchive = {below}prearchive"    # each store may lie elsewhere, state on a local disk
# archive = {below}archive"
# quarantine = {below}quarantine"
# history = {below}history"
# state = {below}state"
# status = {below}status"
# reserve = "1GiB"               # with less than this free, what writes there pauses
"""

_DROP: Final = """\

[[drop]]
path = {path}
name = {name}
# watch = "auto"                 # auto | native | poll; auto polls network file systems
# rescan_interval = "30s"        # the reconciling look at everything, in every mode
# settle = "auto"                # a duration: how long a file must be quiet
# stuck_after = "15m"            # a file that is not whole is said to be stuck after this long
# import = "gradual"             # gradual: file by file; transactional: each top-level folder,
#                                # archive file or loose file whole or not at all
# dest = "prearchive"            # prearchive: then as auto_archive says; archive: without a person
# after = "remove"               # remove | keep: the source, once filed; keep takes each file once
# strict = false                 # transactional: a member that is not DICOM refuses the unit
# mount = false                  # true: only a mount point at path counts as the drop
{project}              # everything dropped here belongs to this project
# layout = "{{project}}/{{subject}}/{{session}}"   # gradual: folders name the session;
#                                # {{timestamp}}, * and literal parts too
# ignore = []                    # names that are never input, besides the built-in ones
# inactivity = "5m"              # else the project's, else that of [session]; transactional: a
#                                # folder is complete when nothing in it changed for so long
# receipts = true                # RECEIPTS/ in the drop; with after = "keep" only if it says so
# contact = ""                   # whom a sender asks, printed in receipts
"""

_REST: Final = """\

[session]
# inactivity = "5m"              # nothing arrived for this long: build
# max_open = "12h"               # build anyway after this long

# A project exists when it is named here or by a drop; files of others stay Unassigned.
# [projects.PROJ1]
# aliases = []
# auto_archive = true            # false: stays READY until `watcher archive ID`
# overwrite = false              # true: differing files with the same UID are replaced
# allow = []                     # findings that only warn: "study-uid-mismatch" "modality-changed"
#                                # "study-elsewhere"
# hold = []                      # findings that hold: "incomplete" "maybe-incomplete"
#                                # "label-shared"
# inactivity = "5m"

[identify]                       # tried before the built-in chain
# project = []                   # "(0008,1030):([^_]+)_.*"
# subject = []
# session = []                   # "{PatientID}_{StudyDate}"

[log]
# file = "/var/log/watcher/watcher.jsonl"   # as well as standard output
# level = "info"                 # debug | info | warning | error
# identifiers = "coded"          # coded | plain
# rotate = "100MiB"
# keep = 10
# heartbeat = "60s"

[limits]                         # what an archive file (.zip .tar .tar.gz .tgz) may hold
# entries = 100000               # members
# bytes = "50GiB"                # unpacked
# ratio = 200                    # unpacked, in sizes of the archive file
# depth = 32                     # of any file: sequences in one another

[metrics]
# listen = "127.0.0.1:9464"

[retention]
# receipts = "30d"
# history = "forever"
# quarantine = "forever"
"""


def compose(root: str, drops: Sequence[tuple[str, str]], project: str = "") -> str:
    """The text for a storage root and drops, each a path and a name; `project`: theirs."""
    quoted = _quoted(root)
    below = _quoted(f"{root.rstrip('/')}/")[:-1]
    theirs = f"project = {_quoted(project)}" if project else '# project = "PROJ1"'
    said = [
        _DROP.format(path=_quoted(path), name=_quoted(name), project=theirs) for path, name in drops
    ]
    return "".join([_HEAD.format(root=quoted, below=below), *said, _REST])


def _quoted(text: str) -> str:
    """A basic string of TOML. JSON's escapes are TOML's too, but for DEL, which JSON leaves."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def drop_names(bases: Sequence[str]) -> list[str]:
    """A name for each drop, the last part of its path; `-2` and so on where that is taken."""
    names: list[str] = []
    for base in bases:
        name, number = base or "drop", 1
        while name in names:
            number += 1
            name = f"{base or 'drop'}-{number}"
        names.append(name)
    return names
