"""`watcher verify`."""

from watcher.commands import coded
from watcher.commands.options import PLAIN, Common
from watcher.commands.output import print_json, print_table
from watcher.commands.progress import progress
from watcher.core.soundness import Checked
from watcher.report import soundness
from watcher.report.text import printable_rows
from watcher.stages.verify import chosen
from watcher.stages.verify import verify as check

OPEN = 3


def verify(*sessions: str, common: Common = PLAIN) -> int:
    """Check archived sessions against their catalogs, digests and schemas. Mends nothing.

    SESSIONS are projects or PROJECT/LABEL; without any, the whole archive. Every file is read.
    Exit code 3 where something is found.

    Example: watcher verify PROJ1 PROJ2/S001
    """
    with common.parts() as parts:
        wanted = chosen(parts, [coded.plain(parts, each) for each in sessions])
        with progress("Verifying", len(wanted)) as told:
            found = [
                told.done(check(parts, project, label, seen=told.seen)) for project, label in wanted
            ]
    if common.json:
        print_json([soundness.record(each) for each in found])
    else:
        _print(found)
    return 0 if all(each.is_sound for each in found) else OPEN


def _print(found: list[Checked]) -> None:
    print_table(
        soundness.HEAD, printable_rows(soundness.rows(found)), nothing="nothing is archived"
    )
    if flaws := soundness.flaw_rows(found):
        print()
        print_table(soundness.FLAW_HEAD, printable_rows(flaws), nothing="")
