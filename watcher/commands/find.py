"""`watcher find`."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

from watcher.assembly import coder_of
from watcher.commands import coded
from watcher.commands.options import PLAIN, Common
from watcher.commands.output import print_json, print_table
from watcher.core.errors import ConfigurationError, DocumentError
from watcher.core.session import Session, Status
from watcher.dicom import catalog
from watcher.io.lookup import Filed, Lookup, catalogs, lying, names_below
from watcher.io.registry import SetAside, Shelf
from watcher.io.stores import KINDS
from watcher.report.matching import Matcher, is_coded, texts_of
from watcher.report.text import printable, printable_rows
from watcher.settings import Settings
from watcher.stages import decided
from watcher.stages.parts import Parts


@dataclass(frozen=True, slots=True)
class Hit:
    """Something that fits: what it is, where it is, and whose it is."""

    kind: str
    where: str
    session: str = ""


def find(text: str, /, *, common: Common = PLAIN) -> int:
    """Find a UID, label, subject, file or folder name, digest, entry, or coded value.

    UIDs and digests are given whole; of names a part will do. TEXT may be a coded value of the log.

    Example: watcher find ~1a2b3c4d
    """
    if not text.strip():
        raise ConfigurationError("nothing to find", hint="watcher find TEXT")
    settings = common.settings()
    with common.parts() as parts:
        matches = coder_of(settings).matches if is_coded(text) else None
        text = text if matches else coded.plain(parts, text)
        hits = list(dict.fromkeys(_hits(settings, parts, Matcher(text, matches))))
    if common.json:
        print_json([asdict(hit) for hit in hits])
    else:
        rows = [(hit.kind, hit.session, hit.where) for hit in hits]
        head = ("KIND", "SESSION", "WHERE")
        print_table(head, printable_rows(rows), nothing=f"nothing fits {text!r}")
    return 0


def _hits(settings: Settings, parts: Parts, wanted: Matcher) -> Iterator[Hit]:
    """Everything that fits; the files of a session that fits as a whole are not told one by one."""
    staged = {each.id: each for each in parts.ledger.sessions(tuple(Status))}
    whole = [hit for each in staged.values() for hit in _session(each, wanted)]
    yield from whole
    told = {hit.session for hit in whole}
    for session in staged.values():
        if session.id not in told:
            yield from _values(session, wanted)
    roots = {drop.name: drop.path for drop in settings.drops}
    lookup = Lookup(parts.ledger)
    for filed in lookup.filed():
        if filed.session in staged and filed.session not in told:
            yield from _filed(filed, staged[filed.session], roots, wanted)
    for shelf in parts.registry.shelved():
        yield from _shelf(parts, shelf, wanted)
    for entry in parts.registry.aside(only_open=False):
        yield from _entry(parts, entry, roots, wanted)
    for drop, path in lookup.sources():
        if part := wanted.path(os.fsdecode(path), roots.get(drop, "")):
            yield Hit("source", f"{drop}/{printable(part)}")
    yield from _folders(parts, staged.values(), wanted)
    yield from _lying(roots, wanted)
    yield from _history(parts, wanted)
    yield from _decisions(parts, wanted)
    yield from _places(settings, lookup, wanted)


def _session(session: Session, wanted: Matcher) -> Iterator[Hit]:
    """What of a session fits. One that is archived is found by its id only, else on its shelf."""
    kind = session.status.value.lower() if _has_ended(session) else "session"
    where = session.shown
    if wanted.same(session.id) or wanted.same(session.shown):
        yield Hit(kind, where, session.id)
    if session.status is Status.ARCHIVED:
        return
    if wanted.same(session.study):
        yield Hit("study", where, session.id)
    for name, value in (("label", session.label), ("subject", session.subject)):
        if wanted.within(value):
            yield Hit(name, f"{where} {value}" if name == "subject" else where, session.id)


def _has_ended(session: Session) -> bool:
    return session.status in {Status.ARCHIVED, Status.DELETED}


def _values(session: Session, wanted: Matcher) -> Iterator[Hit]:
    """What its findings compare: names, dates, labels of the other side."""
    for finding in session.findings:
        for side in (finding.incoming, finding.archived):
            for value in texts_of(side):
                if wanted.within(value):
                    yield Hit("finding", f"{session.shown} {finding.code}: {value}", session.id)


def _filed(filed: Filed, session: Session, roots: dict[str, str], wanted: Matcher) -> Iterator[Hit]:
    """What of a file of the prearchive fits: its UIDs, its digest, its names here and there."""
    if wanted.same(filed.sop) or wanted.same(filed.digest):
        yield Hit("file", f"{session.shown}/{filed.path}", session.id)
    if wanted.same(filed.series):
        scan = os.path.dirname(os.path.dirname(filed.path))
        yield Hit("series", f"{session.shown}/{scan}", session.id)
    source = os.fsdecode(filed.source)
    if part := wanted.path(source, roots.get(filed.drop, "")):
        yield Hit(
            "source file" if part == source else "source folder",
            f"{filed.drop}/{printable(part)}",
            session.id,
        )
    if part := wanted.path(filed.path, session.shown):
        yield Hit(_kind(part, filed.path), f"{session.shown}/{part}", session.id)


def _kind(part: str, path: str) -> str:
    return "file" if part == path else "folder"


def _shelf(parts: Parts, shelf: Shelf, wanted: Matcher) -> Iterator[Hit]:
    """What of an archived session fits; its files only where the session as a whole does not."""
    where = f"{shelf.project}/{shelf.label}"
    whole = [
        kind
        for kind, fits in (
            ("archived", any(map(wanted.same, (shelf.session, shelf.experiment, where)))),
            ("archived study", any(map(wanted.same, (shelf.study, *shelf.accepted)))),
            ("archived label", wanted.within(shelf.label)),
            ("archived subject", wanted.within(shelf.subject)),
        )
        if fits
    ]
    yield from (Hit(kind, where, shelf.session) for kind in whole)
    if not whole:
        folder = parts.storage.archived(shelf.project, shelf.label)
        for path in names_below(folder):
            if part := wanted.path(path):
                yield Hit(f"archived {_kind(part, path)}", f"{where}/{part}", shelf.session)
        for kind, path in _listed(folder, wanted):
            yield Hit(kind, f"{where}/{path}", shelf.session)


def _listed(folder: str, wanted: Matcher) -> Iterator[tuple[str, str]]:
    """Series, instances and digests in the catalogs of an archived session."""
    if is_coded(wanted.text):
        return  # UIDs and digests are never coded
    sought = wanted.text.encode("utf-8", "surrogateescape")
    for path, data in catalogs(folder):
        if sought in data or sought.lower() in data:
            yield from _in_catalog(path, data, wanted)


def _in_catalog(path: str, data: bytes, wanted: Matcher) -> Iterable[tuple[str, str]]:
    try:
        series, entries = catalog.read(data)
    except DocumentError:
        return [("damaged catalog", path)]  # the text is in it all the same
    scan = os.path.dirname(os.path.dirname(path))
    fit = [each for each in entries if wanted.same(each.uid) or wanted.same(each.digest)]
    return [
        *([("archived series", scan)] if wanted.same(series) else []),
        *(("archived file", f"{os.path.dirname(path)}/{each.uri}") for each in fit),
    ]


def _entry(parts: Parts, entry: SetAside, roots: dict[str, str], wanted: Matcher) -> Iterator[Hit]:
    """What of a quarantine entry fits: its id, its SOP UID, the names in it."""
    kind = "quarantine" if entry.open else "quarantine (settled)"
    source = wanted.path(os.fsdecode(entry.path), roots.get(entry.drop, ""))
    own = (entry.id, entry.sop, f"quarantine/{entry.id}")  # the last as the key of its lines
    if source or any(map(wanted.same, own)):
        yield Hit(kind, f"{entry.place} from {entry.drop}/{printable(os.fsdecode(entry.path))}")
        return
    folder = os.path.join(parts.storage.stores.quarantine, entry.place)
    for path in names_below(folder):
        if wanted.path(path):
            yield Hit(kind, f"{entry.place}/{printable(path)}")


def _folders(parts: Parts, staged: Iterable[Session], wanted: Matcher) -> Iterator[Hit]:
    """What stands for a project or a drop: coded where it is a folder that nobody configured."""
    if is_coded(wanted.text):
        shelved, aside = parts.registry.shelved(), parts.registry.aside(only_open=False)
        projects = {*(each.project or "" for each in staged), *(each.project for each in shelved)}
        yield from (Hit("project", name) for name in sorted(projects) if wanted.same(name))
        yield from (Hit("drop", each.drop) for each in aside if wanted.same(each.drop))


def _lying(roots: dict[str, str], wanted: Matcher) -> Iterator[Hit]:
    """What lies in the drops, filed or not: only for a coded value, as they may be large."""
    for drop, root in roots.items() if is_coded(wanted.text) else ():
        for path in lying(root):
            if part := wanted.path(path, root):
                yield Hit("in the drop", f"{drop}/{printable(part)}")


def _history(parts: Parts, wanted: Matcher) -> Iterator[Hit]:
    """Names in the history: PROJECT/LABEL/TIME/..."""
    for path in names_below(parts.storage.stores.history):
        if part := wanted.path(path):
            yield Hit("history", printable(part))


def _decisions(parts: Parts, wanted: Matcher) -> Iterator[Hit]:
    """What persons gave as reasons."""
    for told in decided.kept(parts):
        if wanted.within(str(told.get("reason", ""))):
            where = f"{told.get('command')}: {printable(told['reason'])}"
            yield Hit("decision", where, str(told.get("session", "")))


def _places(settings: Settings, lookup: Lookup, wanted: Matcher) -> Iterator[Hit]:
    """Drops, stores and conditions, which the log names too."""
    for drop in settings.drops:
        if wanted.same(drop.name) or wanted.same(drop.path):
            yield Hit("drop", drop.path)
    for kind in KINDS:
        path = getattr(settings.stores, kind)
        if wanted.same(path):
            yield Hit("store", path)
    if wanted.same(settings.source):
        yield Hit("configuration", settings.source)
    for raised in lookup.raised():
        keys = (raised.key, raised.key.rpartition("/")[2])
        if any(map(wanted.same, keys)) or any(map(wanted.within, texts_of(raised.fields))):
            yield Hit("condition", f"{raised.event} {raised.key}")
