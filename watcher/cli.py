"""The program as typed: commands, exit codes, and one line for every error.

Commands are imported when they are called, so that `--help` answers at once.
"""

import gc
import os
import signal
import sys
from collections.abc import Sequence
from typing import Final

from cyclopts import App, CycloptsError

from watcher import __version__
from watcher.core.errors import ConfigurationError, WatcherError
from watcher.core.failure import explained, trace

DONE, UNEXPECTED, USAGE, INTERRUPTED = 0, 1, 2, 130

COMMANDS: Final = {
    "run": "The daemon; with --once: drain and stop.",
    "demo": "The main job on real DICOM files, in a new directory.",
    "init": "A commented configuration for the given drops.",
    "check": "Configuration and machine: what is wrong, and the command that mends it.",
    "status": "How the installation stands; --health for supervisors.",
    "sessions": "The prearchive's sessions; --status ARCHIVED: the archive.",
    "show": "One session: labels, scans, findings, files that wait, decisions.",
    "validate": "What archiving would find. Writes nothing.",
    "rebuild": "Build and validate again. Never archives.",
    "archive": "Into the archive; --force past findings that give way.",
    "move": "Into another project.",
    "relabel": "Another subject or session label.",
    "split": "One session for each study.",
    "delete": "To the history, a session or some of its scans.",
    "quarantine": "Files set aside: list, show, requeue, purge.",
    "history": "What was deleted or replaced: list, show, restore, purge.",
    "verify": "The archive against its catalogs, digests and schemas.",
    "refresh": "Catalogs and XML of archived sessions, mended from the files.",
    "find": "A UID, label, subject, file name, digest or coded value.",
    "explain": "A file's identity and verdict; or an event, finding or status.",
    "log": "What the log says, for eyes; --follow goes on.",
}

EPILOGUE: Final = (
    "Exit codes: 0 done, 2 usage or configuration, 3 something is open, 4 refused, "
    "10 a store or drop is missing, 11 already running, 12 not healthy, 130 interrupted."
)


def application(asked: str = "") -> App:
    """The commands. The one asked for shows its docstring; the others are not imported."""
    app = App(
        name="watcher",
        version=f"watcher {__version__}",
        help="DICOM from a shared folder into a clean archive, unattended.",
        help_epilogue=EPILOGUE,
    )
    for name, text in COMMANDS.items():
        target = f"watcher.commands.{name}:{name}"
        app.command(target, name=name, help=None if name == asked else text)
    return app


def main() -> None:
    """The console script."""
    if os.getpid() == 1:  # of a container: it has no default actions, pid_namespaces(7)
        signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))
    gc.set_threshold(20_000, 20, 20)  # what is imported, and read in thousands, stays: let it be
    code = call(sys.argv[1:])
    gc.freeze()  # else the end looks through all that is left: a tenth of a second
    sys.exit(code)


def call(arguments: Sequence[str]) -> int:
    """Carry out one command line; gives its exit code. Errors are one line that says what to do."""
    try:
        code = application(*arguments[:1])(
            list(arguments), exit_on_error=False, print_error=False, result_action="return_value"
        )
        if sys.stdout:  # None where the program was started without one
            sys.stdout.flush()
        return code if isinstance(code, int) else DONE
    except (CycloptsError, WatcherError) as error:
        return _tell(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return DONE
    except Exception as error:  # the outermost border: no traceback reaches a person, or the log
        where = (trace(error) or [""])[-1]
        return _say(f"unexpected {explained(error)} in {where}", "this is a bug", UNEXPECTED)


def _tell(error: CycloptsError | WatcherError) -> int:
    if isinstance(error, CycloptsError):
        return _say(" ".join(str(error).split()), "watcher --help", USAGE)
    for fault in error.faults if isinstance(error, ConfigurationError) else ():
        sys.stderr.write(f"  {fault}\n")
    return _say(str(error), error.hint, error.exit_code)


def _say(message: str, hint: str, code: int) -> int:
    sys.stderr.write(f"watcher: {message}" + (f" ({hint})" if hint else "") + "\n")
    return code
