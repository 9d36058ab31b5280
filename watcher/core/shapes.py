"""What in a text looks as if it told of somebody, and what looks like it and tells nothing.

The second net of core/coding.py, as expressions: paths, persons' names (PS3.5 6.2), what follows
in a command of ours; and our own wording, ids and UIDs, which stay.
"""

import re
from typing import Final

from watcher.core.wording import NAMES

LAYOUT: Final = frozenset(  # directories of our own, said in hints and texts
    {"SCANS", "DICOM", "secondary", "RECEIPTS", "watcher", "prearchive", "archive", "quarantine"}
    | {"history", "state", "status"}
)
PLACEHOLDERS: Final = frozenset({"LABEL", "SUBJECT", "NAME", "PROJECT", "PROJECT/LABEL", "..."})
_WORDING: Final = (  # XNAT's, and ours in its manner (spec 10)
    "Merging different StudyInstanceUIDs may affect data integrity",
    "Cannot merge sessions with different Study Instance UIDs",
    "Invalid modification of session subject via archive process.",
    "Invalid modification of session UID via archive process.",
    "UID conflict detected during archiving",
    "Session upload failed",
)
_NAMES: Final = "|".join(sorted(map(re.escape, NAMES), key=len, reverse=True))
_ID: Final = r"\d{8}_\d{9}(?:_\d+)?"
_ENTRY: Final = rf"{_ID}-(?:{_NAMES})"  # of the quarantine, set aside by archiving
_ASIDE: Final = rf"(?:{_ENTRY}|(?:aside-|unit-)?[0-9a-f]{{12}})"
ASIDE: Final = re.compile(_ASIDE)
"""The id of an entry of the quarantine as we make it."""
UIDS: Final = re.compile(r"[0-9., ]*")
"""A UID, or several."""
SCANS: Final = re.compile(r"[\d._,-]*\d(?:-[A-Z]{2}\d+)?(?:-[0-9a-f]{6})?|NA")
"""The ID of a scan as numbers and UIDs make it, or several."""
KEY: Final = re.compile(  # what a condition is of: only a label, or a path's mark, tells something
    rf"(?P<fixed>session/{_ID}|quarantine/{_ASIDE}"
    r"|(?:drop|mount|watch|unreadable|storage|low|crowd|refuses|failing|receipts)/.+|readers)"
    r"|(?P<head>archive/[\w-]+/|(?:file|readonly)/.+/)(?P<tail>[^/]+?)(?P<xml>\.xml)?"
)
SPEAKS: Final = re.compile(rf"watcher |https?:|(?:[\w-]+/)?{_ID}(?:/|$)")
SESSION: Final = re.compile(rf"(?:[\w-]+/)?{_ID}(?:/.*)?", re.DOTALL)
PROJECT: Final = re.compile(rf"(?!{_ID}/)[\w-]+(?=/{_ID})|(?<=[a-z] )(?!{_ID}/)[\w-]+(?=/$)")
"""The project of a session, in what stays of a shape."""
_WORD: Final = r"[^\s\"'<>`]"
_LAST: Final = r"[^\s\"'<>`.,:;)\]]"
_SHELL: Final = r"'[^']*'(?:\"'\"'[^']*')*"  # as shlex.quote writes a word, whatever is in it
# Shapes begin at the start of a word only, so that the search stays linear in hostile text.
_START: Final = r"(?<![^\s\"'<>`:,;=(\[])"
_PART: Final = r"[^\s\"'<>`:,;=(\[/]+"
# wording, coded values, session ids, experiment IDs, UIDs and numbers, options and commands
_STAYS: Final = "|".join(
    (
        *map(re.escape, _WORDING),
        rf"(?<!\w){_ENTRY}(?![\w/^-]|\.\w)|(?<![\w.~/-])(?:{_NAMES})(?![\w/^-]|\.\w)",
        rf"~[0-9a-f]{{8}}(?!\w)|(?<![\w./-])[\w-]+/{_ID}(?![\w/])|(?<!\w){_ID}(?![\w/])",
        r"(?<!\w)W_E[0-9a-f]{12}(?!\w)",
        r"(?<![\w.])\d+(?:\.\d+)+(?!\w)|(?<!\w)\d+/(?:\d+|s|min|h)(?![\w/])|(?<!\w)and/or",
        r"(?<!\S)--[a-z]+(?![\w-])|(?<!\w)watcher [a-z]+(?!\w)",
    )
)
_HEADS: Final = "|".join(
    (
        rf"(?<![\w./-])(?:[\w-]+/)?{_ID}/",
        rf"(?<!\w)watcher [a-z]+ [\w-]+/(?!{_ID})",
        r"(?<!\S)--(?:session|subject|scan)[ =]",
        r"(?<!\w)scan \(?",
    )
)
_PATHS: Final = "|".join(
    (
        rf"(?<![\w/.~])(?<!http:)(?<!https:)/{_WORD}*{_LAST}",
        rf"{_START}{_PART}(?:/{_PART})+",
        rf"{_START}{_PART}\.(?i:dcm|ima|dicom|zip|tar|tgz|gz)(?!\w)",
    )
)
# In this order: at one place the first that fits is taken. `head` stays, its tail is coded.
SHAPE: Final = re.compile(
    "|".join(
        (
            rf"(?P<head>{_HEADS})(?P<tail>{_SHELL}|\"[^\"]*\"|{_WORD}*{_LAST})",
            rf"(?P<stays>{_STAYS})",
            rf"(?P<shell>(?<!\w){_SHELL}(?!\w))",
            r"(?P<mark>(?<!\w)[\"'`])(?P<quoted>[^\"'`\n]*)(?P=mark)",
            rf"(?P<path>{_PATHS})",
            rf"(?P<person>{_START}{_PART}\^{_WORD}*)",
        )
    )
)
BELOW: Final = re.compile(rf"(?:/{_PART})+")
