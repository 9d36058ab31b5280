"""The program's own words: they tell nothing of anybody, so coding leaves them alone (spec 12).

Taken from the catalogue: events, findings, refusals, statuses, and the sentences about them.
"""

import re
from typing import Final

from watcher.core.events import EVENTS
from watcher.core.explain import EXPLANATIONS

_SENTENCES: Final = (
    *(one.message for one in EVENTS.values()),
    *(f"{one.word} {one.meaning} {one.todo}" for one in EXPLANATIONS),
    """
    merged already into invalid modification via archive process may require manual unable
    destination identify to subject session modality becomes worked out over all scans its it was
    waiting sessions and with another same different number contain contains will renamed during
    joins folders instances filed files file studies carry destination detected archiving conflict
    against command counted every expected fit first highest latest made many seems should pixels
    newcomers hand which attributes our those says say none anything
    """,  # of the sentences that findings are made of (core/rules.py, core/file_rules.py)
)

NAMES: Final = frozenset(one.word for one in EXPLANATIONS if re.search(r"[.-]", one.word))
"""Names of two words or more: `session.conflict`, `stray-file`."""

WORDS: Final = frozenset(
    {
        *NAMES,
        *(one.word for one in EXPLANATIONS if one.kind == "status"),
        *re.findall(r"(?<![\w])[a-z]{2,}(?!\w)", " ".join(_SENTENCES)),
    }
)
"""Single words too, as they are written: small ones, and the statuses."""
