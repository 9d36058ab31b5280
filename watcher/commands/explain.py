"""`watcher explain`."""

import os
from dataclasses import dataclass, replace
from typing import Any, Final

from watcher.commands import coded
from watcher.commands.options import PLAIN, Common
from watcher.commands.output import print_json, print_table
from watcher.commands.stored import stored
from watcher.core.coding import CODED
from watcher.core.errors import ConfigurationError, MissingPlaceError, StorageError
from watcher.core.explain import EXPLANATIONS
from watcher.core.explain import find as find_word
from watcher.core.file import Candidate, Fingerprint, Refusal, RefusalCode
from watcher.core.find import choose, fitting, follow
from watcher.core.policy import Drop, Identify, Projects
from watcher.core.route import identify
from watcher.core.session import Identity, Session
from watcher.core.unit import is_packed
from watcher.io import files
from watcher.io.ignore import Ignore
from watcher.io.lookup import Lookup
from watcher.io.workers import examine_now
from watcher.report import explained
from watcher.report.text import printable
from watcher.report.times import iso
from watcher.settings import Settings
from watcher.stages import reading
from watcher.stages.parts import Parts

_CONTENT: Final = {  # what a reader that takes an archive file for DICOM may say of its bytes
    *(None, RefusalCode.NOT_DICOM, RefusalCode.TORN, RefusalCode.DICOMDIR),
    *(RefusalCode.MISSING_UID, RefusalCode.BAD_UID, RefusalCode.UNREADABLE),
}


def explain(what: str = "", /, *, common: Common = PLAIN) -> int:
    """Explain a file: its identity, place and verdict; or a word of the log or of a listing.

    WHAT is a file that exists, else an event, finding, status, refusal or exit code. Without it,
    the whole catalogue. Nothing is moved or written.

    Example: watcher explain /srv/drop/mri/IM0001
    """
    if not what:
        return _catalogue(common)
    if CODED.search(what):
        with common.parts() as parts:
            what = coded.plain(parts, what)
    if os.path.lexists(what):
        return _file(what, common)
    return _word(what, common)


# -- words -----------------------------------------------------------------------------------------


def _catalogue(common: Common) -> int:
    if common.json:
        print_json(explained.catalogue())
    else:
        print_table(explained.HEAD, explained.rows(EXPLANATIONS), nothing="nothing")
    return 0


def _word(what: str, common: Common) -> int:
    """ConfigurationError (exit 2) with the nearest words for one that is neither word nor file."""
    found = find_word(what)
    wanted = what.strip().casefold()
    exact = [each for each in found if wanted in {each.word.casefold(), *each.also}]
    if not exact:
        near = ", ".join(dict.fromkeys(each.word for each in found[:5]))
        hint = f"did you mean {near}?" if near else "watcher explain lists every word"
        raise ConfigurationError(f"{what!r} is no file here and no word of the log", hint=hint)
    if common.json:
        print_json([explained.word(each) for each in exact])
    else:
        for each in exact:
            print("\n".join(explained.word_lines(each)))
    return 0


# -- files -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ground:
    """What a file is judged by: its drop, and the rules of the configuration."""

    drop: Drop  # name "": no drop holds it
    path: str  # relative to the drop
    rules: Identify
    projects: Projects
    notes: tuple[str, ...] = ()


def _file(what: str, common: Common) -> int:
    path = os.path.abspath(what)
    if os.path.isdir(path):
        raise ConfigurationError(f"{what} is a folder", hint=f"watcher explain {what}/FILE")
    settings, notes = _settings(common)
    ground = _ground(path, settings, notes)
    document = _judged(path, ground, common, settings)
    if common.json:
        print_json(document)
    else:
        print("\n".join(map(printable, explained.file_lines(document))))
    return 0


def _settings(common: Common) -> tuple[Settings | None, tuple[str, ...]]:
    """The configuration; a file can be explained without one, unless one was asked for."""
    try:
        return common.settings(), ()
    except ConfigurationError as error:
        if common.config is not None:
            raise
        return None, (f"judged without a configuration, by the built-in rules: {error}",)


def _ground(path: str, settings: Settings | None, notes: tuple[str, ...]) -> Ground:
    folder, name = os.path.split(path)
    bare = Ground(Drop("", folder, after="keep"), name, Identify(), Projects(), notes)
    if settings is None:
        return bare
    ground = replace(bare, rules=settings.identify, projects=settings.projects)
    real = os.path.join(os.path.realpath(folder), name)
    for drop in settings.drops:
        for place, root in ((path, drop.path), (real, os.path.realpath(drop.path))):
            if place.startswith(f"{root.rstrip('/')}/"):
                return replace(ground, drop=drop, path=os.path.relpath(place, root))
    return ground


def _judged(path: str, ground: Ground, common: Common, settings: Settings | None) -> dict[str, Any]:
    document: dict[str, Any] = {"file": printable(path), "drop": ground.drop.name, "hint": ""}
    notes = [*ground.notes, *explained.of_unit(ground.drop, os.fsencode(ground.path))]
    if settings is not None and (found := _stored(path, common)):
        return {**document, **found, "notes": notes}
    if _is_ignored(ground):
        text = "its name, or that of a folder above it, is never input"
        return {**document, "verdict": "ignored", "text": text, "notes": notes}
    if settings is None:
        answer = _answer(ground)
        return {**document, **_verdict(answer, ground, None), "notes": notes}
    try:
        with common.parts() as parts:  # a root becomes the daemon's user: it is his eyes that count
            notes += _said(parts, ground)
            return {**document, **_verdict(_answer(ground), ground, parts), "notes": notes}
    except MissingPlaceError:
        notes.append("the daemon has never run here: no session is open yet")
        return {**document, **_verdict(_answer(ground), ground, None), "notes": notes}


def _stored(path: str, common: Common) -> dict[str, Any] | None:
    try:
        with common.parts() as parts:
            return stored(path, parts)
    except MissingPlaceError:  # the daemon has never run here: nothing is stored
        return None


def _is_ignored(ground: Ground) -> bool:
    ignore = Ignore(ground.drop.ignore)
    *folders, name = ground.path.split("/") if ground.drop.name else [ground.path]
    inside = any(
        ignore.skips(part, is_dir=True, top=bool(ground.drop.name) and not at)
        for at, part in enumerate(folders)
    )
    return inside or ignore.skips(name, is_dir=False, top=not folders)


def _answer(ground: Ground) -> reading.Whole | Refusal | StorageError:
    """What a reader process says of the file; nothing of it is parsed in this one."""
    where = os.path.join(ground.drop.path, ground.path)
    seen = files.print_of(where) or Fingerprint(0, 0, 0, 0, 0)  # gone, or no file: a reader tells
    candidate = Candidate(ground.drop.name, os.fsencode(ground.path), seen)
    request = reading.request(None, ground.drop, candidate, tags=ground.rules.tags, copy=False)
    return reading.answer(candidate, examine_now([request])[0])


def _verdict(
    answer: reading.Whole | Refusal | StorageError, ground: Ground, parts: Parts | None
) -> dict[str, Any]:
    if isinstance(answer, StorageError):
        return {"verdict": "waits", "code": "machine", "text": str(answer)}
    if _is_packed(answer, ground):
        text = explained.packed(ground.drop, ground.path)
        return {"verdict": "unit", "code": "", "text": text}
    if isinstance(answer, Refusal):
        return {
            "verdict": explained.outcome(answer.code),
            "code": answer.code.value,
            "text": answer.text,
            "hint": answer.hint,
        }
    identity, taker = _placed(_identity(answer, ground), parts)
    header = answer.examined.header
    return {
        "verdict": "filed",
        "code": "",
        "text": "a whole DICOM file",
        "digest": answer.examined.digest,
        **explained.whole(
            header,
            identity,
            session=taker.id if taker else "",
            status=taker.status.value if taker else "",
        ),
    }


def _is_packed(answer: reading.Whole | Refusal, ground: Ground) -> bool:
    """Whether it is an archive file to its drop: by its name, whatever is in it.

    Within a folder that is a unit a file of that name is only looked at if it is no DICOM.
    """
    if not is_packed(os.fsencode(ground.path)):
        return False
    code = None if isinstance(answer, reading.Whole) else answer.code
    if ground.drop.mode == "transactional" and "/" in ground.path:
        return code is RefusalCode.NOT_DICOM
    return code in _CONTENT


def _said(parts: Parts, ground: Ground) -> list[str]:
    """What the daemon has said of a file that is stuck: an archive file is not unpacked here."""
    return [
        f"stuck since {iso(each.raised)}: {each.fields.get('text', '')}"
        for each in Lookup(parts.ledger).raised()
        if each.event == "file.stuck"
        and (ground.drop.name, ground.path) == (each.fields.get("drop"), each.fields.get("path"))
    ]


def _identity(whole: reading.Whole, ground: Ground) -> Identity:
    return identify(
        whole.examined.header,
        drop=ground.drop,
        path=os.fsencode(ground.path),
        identify=ground.rules,
        projects=ground.projects,
    )


def _placed(identity: Identity, parts: Parts | None) -> tuple[Identity, Session | None]:
    """The identity after people's decisions on the study, and the session that takes such files."""
    if parts is None:
        return identity, None
    key, bound = follow(identity.key, Lookup(parts.ledger).bindings(identity.key.study))
    if bound is not None:
        origins = {
            **identity.origins,
            **dict.fromkeys(("project", "subject", "session"), "decision"),
        }
        identity = replace(identity, key=key, subject=bound.subject, origins=origins)
    wide = bound is None and identity.origins.get("session") == "layout"
    name = identity.origins.get("timestamp", "")
    found = parts.ledger.labelled(key.project, key.label)
    return identity, choose(fitting(found, key.study, any_study=wide, timestamp=name))
