"""`watcher rebuild`."""

from watcher.commands.acting import NOBODY, Choice, act_on, choose
from watcher.commands.options import PLAIN, Common
from watcher.stages import decide


def rebuild(*ids: str, choice: Choice = NOBODY, common: Common = PLAIN) -> int:
    """Build and validate again: catalogs, session XML, findings. Never archives by itself.

    Example: watcher rebuild 20260619_091425123
    """
    with common.parts() as parts:
        found = choose(parts, ids, choice)
        return act_on(
            parts, found, lambda parts, each: decide.rebuild(parts, each.id), json=common.json
        )
