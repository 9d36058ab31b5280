"""`watcher demo`: the main job on real DICOM files, in a new directory.

Nothing is fetched. The files are dropped in two goes and the daemon's own drain runs on each;
what is told afterwards is read from the ledger, the archive, the log and the drops.
"""

import io
import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from watcher.commands import samples, tour
from watcher.commands.options import PLAIN, Common
from watcher.commands.output import print_json
from watcher.commands.tour import Told
from watcher.core.archived import ArchivedScan
from watcher.core.errors import ConfigurationError, StorageError, WatcherError
from watcher.core.explain import find as explain
from watcher.core.file import RefusalCode
from watcher.core.names import label
from watcher.core.record import finding_values
from watcher.core.session import Session, Status
from watcher.dicom import catalog, document
from watcher.io import files
from watcher.io.ignore import RECEIPTS
from watcher.io.registry import Shelf
from watcher.report import listing
from watcher.settings import Settings, load
from watcher.stages.parts import Parts

DONE, OPEN = 0, 3


def demo(folder: str | None = None, /, *, common: Common = PLAIN) -> int:
    """Archive real DICOM files that ship with pydicom; ends with one conflict, and what settles it.

    FOLDER is made (./watcher-demo; -2, -3 ... where that is taken), never one that exists.

    Example: watcher demo /tmp/watcher-demo
    """
    if common.config:
        raise ConfigurationError("demo writes its own configuration", hint="leave out --config")
    began = time.monotonic()
    base = _folder(folder)
    goes = samples.goes(base)
    settings = _prepare(base)
    dropped = sum(map(len, goes))
    with _progress(dropped) as heard:
        log = Listener(heard)
        for go in goes:
            code = _run(settings, go, log)
            if code is not None:
                sys.stderr.write(f"watcher: the demo was cut off ({log.ended}): {base}\n")
                return code
    told = _told(settings, base, log)
    told |= {"dropped": dropped, "seconds": round(time.monotonic() - began, 1)}
    if common.json:
        print_json(told)
    else:
        tour.tell(told)
    return DONE


def _folder(wanted: str | None) -> str:
    """The new directory. ConfigurationError where it exists or is no place for a demo."""
    from watcher.assembly import check_state  # noqa: PLC0415  `--help` shall not pay for it

    path = os.path.abspath(wanted or "watcher-demo")
    if wanted and os.path.lexists(path):
        raise ConfigurationError(f"{wanted} exists already", hint="name one that is to be made")
    number = 2
    while os.path.lexists(path):
        path, number = os.path.abspath(f"watcher-demo-{number}"), number + 1
    try:
        path.encode()
        check_state(path)
        files.make_store(path)
    except (StorageError, UnicodeEncodeError, ConfigurationError) as error:
        hint = "watcher demo /tmp/watcher-demo"
        raise ConfigurationError(f"no demo in {path!r}: {error}", hint=hint) from error
    return path


def _prepare(base: str) -> Settings:
    for name in samples.DROPS:
        files.make_store(os.path.join(base, "drop", name))
    config = os.path.join(base, samples.CONFIG)
    files.swap(config, samples.configuration(base).encode())
    return load(config)


def _run(settings: Settings, go: samples.Copies, log: "Listener") -> int | None:
    """Drop the files, then drain; gives the exit code where that was cut off."""
    from watcher import daemon  # noqa: PLC0415  `--help` shall not pay for it

    for source, target in go:
        files.make_store(os.path.dirname(target))
        files.swap(target, files.read(source))
    code = daemon.run(settings, once=True, stream=log)
    return None if code in {DONE, OPEN} and log.ended == "drained" else code


class Listener(io.StringIO):
    """The log's stream: keeps what the demo tells of it, and passes each event on."""

    def __init__(self, heard: Callable[[str], None]) -> None:
        super().__init__()
        self.waiting: dict[str, str] = {}  # why a file was left, by its path in its drop
        self.aside: dict[str, str] = {}  # likewise of files put into quarantine
        self.ended = ""
        self._heard = heard

    def write(self, text: str, /) -> int:
        """One line of the log, whole."""
        line = json.loads(text)
        place = f"{line.get('drop')}/{line.get('path')}"
        if line["event"] == "file.waiting":
            self.waiting[place] = line["text"]
        elif line["event"] == "file.quarantined":
            self.aside[place] = line["text"]
        elif line["event"] == "daemon.stopped":
            self.ended = line["reason"]
        self._heard(line["event"])
        return len(text)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[str], None]]:
    """A bar on a terminal, moved by the events it is given; nothing elsewhere."""
    from rich.console import Console  # noqa: PLC0415  only where it is shown
    from rich.progress import Progress  # noqa: PLC0415  as above

    console_ = Console(file=sys.stderr)
    with Progress(console=console_, transient=True, disable=not console_.is_terminal) as bar:
        task = bar.add_task("filing", total=total)

        def heard(event: str) -> None:
            moves = event in {"file.filed", "file.waiting", "file.quarantined"}
            bar.update(task, advance=int(moves), description=event, refresh=True)

        yield heard


def _told(settings: Settings, base: str, log: Listener) -> Told:
    """All there is to tell, as one document."""
    from watcher.assembly import command_parts  # noqa: PLC0415  `--help` shall not pay for it

    with command_parts(settings) as parts:
        open_ = parts.ledger.sessions((Status.CONFLICT,))
        if not open_:
            raise WatcherError("the demo came to no conflict", hint=f"read {settings.log.file}")
        return {
            "directory": base,
            "config": settings.source,
            "log": settings.log.file,
            "archive": [_archived(parts, shelf) for shelf in parts.registry.shelved()],
            "sessions": [_listed(parts, each) for each in parts.ledger.sessions(tuple(Status))],
            "left": _left(base, log),
            "conflict": _conflict(open_[0], settings.source),
            "receipt": f"{base}/drop/routine/{RECEIPTS}/late.txt",
            "page": f"{settings.stores.status}/index.html",
            "further": [
                _typed("show", open_[0].id, config=settings.source),
                _typed("status", config=settings.source),
            ],
        }


def _listed(parts: Parts, session: Session) -> Told:
    ended = session.status is Status.ARCHIVED
    sizes = parts.ledger.kept_sizes(session.id) if ended else parts.ledger.sizes()[session.id]
    return listing.record(session, sizes)


def _archived(parts: Parts, shelf: Shelf) -> Told:
    """An archived session, as its XML and its catalogs have it."""
    folder = parts.storage.archived(shelf.project, shelf.label)
    found = document.read(files.read(f"{folder}.xml"))
    return {
        "project": shelf.project,
        "subject": found.subject,
        "label": shelf.label,
        "type": found.type,
        "scans": [_scan(folder, scan) for scan in found.scans],
    }


def _scan(folder: str, scan: ArchivedScan) -> Told:
    catalogs = [files.read(os.path.join(folder, each.catalog)) for each in scan.resources]
    number = sum(len(catalog.read(data)[1]) for data in catalogs)
    return {"id": scan.id, "modality": scan.modality, "files": number}


def _left(base: str, log: Listener) -> list[dict[str, str]]:
    """What was not filed: what lies in the drops still, and what went to quarantine, with why."""
    (listed,) = explain(RefusalCode.DICOMDIR)
    found = files.walk(os.path.join(base, "drop"))
    lying = [(path, log.waiting.get(path, "")) for path in found if RECEIPTS not in path]
    return [
        *({"path": path, "where": "drop", "why": why or listed.meaning} for path, why in lying),
        *({"path": p, "where": "quarantine", "why": why} for p, why in sorted(log.aside.items())),
    ]


def _conflict(session: Session, config: str) -> Told:
    finding = next(each for each in session.findings if each.blocks)
    fresh = label(f"{session.label}_{finding.incoming['StudyID']}")
    apart = _typed("relabel", session.id, "--session", fresh, config=config)
    reason = ("--reason", "one examination in two studies")
    together = _typed("archive", session.id, "--force", *reason, config=config)
    return {
        "id": session.id,
        "project": session.project,
        "label": session.label,
        "finding": finding_values(finding),
        "settle": [
            {"when": "Two examinations: give the newcomer a label of its own.", "command": apart},
            {"when": "One examination in two parts: merge them, and say why.", "command": together},
        ],
    }


def _typed(*words: str, config: str) -> str:
    """A command line to paste where the demo was typed."""
    typed = sys.argv[0]
    found = shutil.which("watcher")
    here = os.path.relpath(config)
    if os.path.basename(typed) != "watcher":
        program = [sys.executable, "-m", "watcher"]
    else:
        program = ["watcher"] if found and os.path.samefile(found, typed) else [typed]
    path = config if here.startswith(os.pardir) else here
    return shlex.join([*program, *words, "--config", path])
