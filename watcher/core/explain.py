"""What a word of the log or of a listing means, who acts, and what to type (`watcher explain`)."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from watcher.core.events import EVENTS, Event
from watcher.core.file import RefusalCode
from watcher.core.session import Status

Kind = Literal["event", "status", "finding", "refusal", "exit code"]


@dataclass(frozen=True, slots=True)
class Explanation:
    """One word explained. `raised` is False for what this version never says by itself."""

    word: str
    kind: Kind
    meaning: str
    who: str = ""  # who acts: admin, sender, data; empty: nobody need
    todo: str = ""
    also: tuple[str, ...] = ()  # other words for it: XNAT's numbers
    raised: bool = True


_NOBODY: Final = "Nothing to do."
# word: who, meaning, what to do (spec 9)
_STATUSES: Final[dict[str, tuple[str, str, str]]] = {
    Status.RECEIVING: (
        "",
        "Files still come in. The session is built once nothing has arrived for `inactivity`.",
        "Wait; `watcher rebuild ID` builds now.",
    ),
    Status.BUILDING: ("", "Catalogs and session XML are written, then validated.", _NOBODY),
    Status.READY: (
        "",
        "Built and valid: archiving it now would succeed.",
        "Archived by itself where the project has auto_archive; else `watcher archive ID`.",
    ),
    Status.CONFLICT: (
        "data",
        "The data disagree: somebody who knows the study decides.",
        "`watcher show ID`; then `watcher archive`, `relabel`, `move`, `split` or `delete`.",
    ),
    Status.ERROR: (
        "admin",
        "The machine could not build or archive it. Its files are safe where they lie.",
        "Remove the cause `watcher show ID` gives, then `watcher archive ID`.",
    ),
    Status.ARCHIVING: ("", "It is being archived; a restart carries on.", _NOBODY),
    Status.MOVING: ("", "It is moved, relabelled or split; a restart carries on.", _NOBODY),
    Status.DELETING: ("", "It is being moved to the history; a restart carries on.", _NOBODY),
    Status.ARCHIVED: ("", "It lies in the archive.", "`watcher sessions --status ARCHIVED`."),
    Status.DELETED: (
        "",
        "It lies in the history.",
        "`watcher history restore PROJECT/LABEL/ID` stages it again.",
    ),
}

_SHOW: Final = "`watcher quarantine show ID`; drop it again mended, or `quarantine requeue ID`."
_FORCE: Final = '`watcher archive ID --force --reason "..."`'
_SETTLE: Final = (
    '`watcher archive ID --overwrite --reason "..."` takes the newcomers, `--keep` what was there '
    "first; the others go to the history. What is not held has gone in already."
)
# word: XNAT's numbers, meaning, what to do (spec 10)
_FINDINGS: Final[dict[str, tuple[tuple[int, ...], str, str]]] = {
    "session-exists": ((1,), "Project and label are archived already; files are merged.", ""),
    "study-elsewhere": (
        (2, 3),
        "This study is archived under another label or project.",
        f"{_FORCE}, or `watcher relabel ID --session LABEL`; `allow` lets such studies in.",
    ),
    "subject-changed": (
        (4,),
        "The archived session of this label is another subject's. No force passes it.",
        "`watcher relabel ID --subject S` or `--session LABEL`.",
    ),
    "study-uid-mismatch": (
        (5,),
        "The archived session of this label is another study.",
        f"{_FORCE} merges them; `watcher relabel ID --session LABEL` keeps them apart.",
    ),
    "mixed-studies": (
        (),
        "The files of this session carry different StudyInstanceUIDs.",
        f"`watcher split ID` makes one session for each; {_FORCE} leaves them together.",
    ),
    "no-project": ((6,), "No known project was found.", "`watcher move ID --project P`."),
    "schema-invalid": (
        (13,),
        "The XML that would be written is not valid by XNAT's schemas.",
        "Read the fault in `watcher show ID`; a bug of the watcher, or a very odd header.",
    ),
    "modality-changed": (
        (19,),
        "The session type differs from the archived one's, and so does the study.",
        "`watcher relabel ID --session LABEL`; `allow` lets such sessions in.",
    ),
    "same-instance": ((14, 16), "The archive has this file already; the newcomer is dropped.", ""),
    "instance-differs": (
        (14, 22),
        "The archive has another file with the same SOP and class UID. Its scan is held.",
        _SETTLE,
    ),
    "instance-other-class": (
        (),
        "The archive has this SOP UID with another SOP class; the newcomer is set aside.",
        _SHOW,
    ),
    "duplicate-in-session": (
        (22,),
        "Two files of this session have the same SOP and class UID but other data; held.",
        _SETTLE,
    ),
    "scan-number-taken": ((17,), "Another series has this scan ID; this one gets N-MODi.", ""),
    "scan-uid-elsewhere": ((18,), "The series is archived under another ID and joins it.", ""),
    "stray-file": (
        (20,),
        "Something in a scan folder is no instance; it goes to quarantine.",
        _SHOW,
    ),
    "catalog-missing": ((21,), "An archived scan's catalog is rebuilt from its files first.", ""),
    "unreadable-file": (
        (),
        "A filed file can't be read any more.",
        "Look at the disk; `watcher delete ID --scan N` gives the scan up. The others go in.",
    ),
    "label-shared": (
        (),
        "Another waiting session of the project has this label and another study.",
        "`watcher relabel ID --session LABEL` if the two don't belong together.",
    ),
    "incomplete": (
        (),
        "Files are known to be missing: stuck in the drop, or listed in a DICOMDIR.",
        "Have the sender copy them again.",
    ),
    "maybe-incomplete": (
        (),
        "Instance numbers or declared counts suggest missing images.",
        "Compare with the scanner or PACS.",
    ),
}
_AGAIN: Final = "Copy the file again, or remove it from the drop."
_MEND: Final = (
    "`watcher quarantine show ID` names the files. Have the sender send them again mended."
)
# word: who, meaning, what to do (spec 5)
_REFUSALS: Final[dict[str, tuple[str, str, str]]] = {
    RefusalCode.EMPTY: ("sender", "The file is empty. It waits where it lies.", _AGAIN),
    RefusalCode.TORN: ("sender", "The file stops early. It waits where it lies.", _AGAIN),
    RefusalCode.BUSY: ("sender", "A program still has the file open for writing.", "Close it."),
    RefusalCode.UNLEASED: ("", "No read lease can be had: the longer `settle` applies.", _NOBODY),
    RefusalCode.HOLLOW: ("", "It has holes, perhaps not filled yet: a longer wait.", _NOBODY),
    RefusalCode.CHANGED: ("", "The file changed while it was read; it is read again.", _NOBODY),
    RefusalCode.GONE: ("", "The file went away before it was read.", _NOBODY),
    RefusalCode.UNIT: (
        "sender",
        "It waits for the rest of its unit; or it calls a unit complete that is not there.",
        "Copy what is missing, or mend what else of the unit waits.",
    ),
    RefusalCode.DENIED: ("admin", "The daemon may not read the file.", "Let it: chmod, chgrp."),
    RefusalCode.NOT_REGULAR: ("", "A link, pipe, socket or device: never taken.", _NOBODY),
    RefusalCode.DICOMDIR: ("", "A DICOMDIR is never filed and never a fault.", _NOBODY),
    RefusalCode.NOT_DICOM: ("", "Not DICOM: set aside in quarantine.", _SHOW),
    RefusalCode.MISSING_UID: ("data", "One of the four UIDs is missing.", _MEND),
    RefusalCode.BAD_UID: ("data", "A UID has characters or a length DICOM forbids.", _MEND),
    RefusalCode.UNREADABLE: ("data", "The header can't be read.", _MEND),
    RefusalCode.CRASHED_READER: ("data", "A reader died or hung on it, alone too.", _MEND),
    RefusalCode.OTHER_CLASS: ("data", "Its SOP UID is archived with another class.", _SHOW),
    RefusalCode.ARCHIVE_FILE: (
        "data",
        "An archive file is damaged or hostile, or holds what may not be unpacked: refused whole.",
        "`watcher quarantine show ID` lists why. Pack it anew, or drop its files as a folder.",
    ),
}

# API (spec 4)
_EXITS: Final[dict[str, str]] = {
    "0": "Done.",
    "1": "Unexpected: a bug, or a machine in trouble.",
    "2": "Usage, configuration, no such session, or an ambiguous one.",
    "3": "Something is open: a session in CONFLICT or ERROR, a file waiting or in quarantine.",
    "4": "Refused, nothing changed: the state forbids it, or somebody holds the session.",
    "10": "A store or drop is missing.",
    "11": "Another daemon is already running on this store.",
    "12": "`status --health`: not running, or stalled.",
    "130": "Interrupted.",
}


def _event(one: Event) -> Explanation:
    return Explanation(one.name, "event", f"{one.message}: {one.meaning}", one.who, one.todo)


def _finding(word: str) -> Explanation:
    numbers, meaning, todo = _FINDINGS[word]
    also = tuple(str(number) for number in numbers)
    return Explanation(word, "finding", meaning, "data" if todo else "", todo, also)


def _everything() -> Iterable[Explanation]:
    yield from map(_event, EVENTS.values())
    for word, (who, meaning, todo) in _STATUSES.items():
        yield Explanation(str(word), "status", meaning, who, todo)
    yield from map(_finding, _FINDINGS)
    for word, (who, meaning, todo) in _REFUSALS.items():
        yield Explanation(word, "refusal", meaning, who, todo)
    for word, meaning in _EXITS.items():
        yield Explanation(word, "exit code", meaning)


EXPLANATIONS: Final[tuple[Explanation, ...]] = tuple(_everything())


def find(word: str) -> tuple[Explanation, ...]:
    """What the word means, ignoring case; else the nearest words there are, best first.

    A number is an exit code or XNAT's number of a finding, or both.
    """
    wanted = word.strip().casefold()
    exact = tuple(
        one for one in EXPLANATIONS if wanted == one.word.casefold() or wanted in one.also
    )
    return exact or _nearest(wanted)


def _nearest(wanted: str) -> tuple[Explanation, ...]:
    words: dict[str, list[Explanation]] = {}
    for one in EXPLANATIONS:
        words.setdefault(one.word.casefold(), []).append(one)
    inside = [name for name in words if len(wanted) > 2 and wanted in name]
    names = inside or difflib.get_close_matches(wanted, words, n=5, cutoff=0.6)
    return tuple(one for name in names for one in words[name])
