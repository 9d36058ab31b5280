"""A unit that lands, and its members, as values and as the text of its staging folder."""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from watcher.core.errors import DocumentError
from watcher.core.file import Fingerprint, Header
from watcher.core.muster import Part
from watcher.core.policy import Drop
from watcher.core.session import Destination, Identity, SessionKey
from watcher.core.tags import tag_of, written
from watcher.core.unit import Kind, Unit


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a unit, as it was examined.

    `path`: in the drop, of a member of an archive below the archive's own; `staged`: its name in
    the staging folder, or empty where it lies in the drop only; `print`: of the source as it was
    read, or of what is staged of an archive.
    """

    part: Part
    path: bytes
    staged: str
    print: Fingerprint
    text: str = ""  # why it is no instance
    digest: str = ""
    header: Header | None = None
    identity: Identity | None = None


@dataclass(frozen=True, slots=True)
class Promise:
    """What is promised of a unit. `filed`: every member is in its session, durable."""

    id: str
    root: str  # of the drop
    after: str
    dest: Destination
    unit: Unit  # its sources only where it is an archive: else the members are the sources
    filed: bool = False

    @property
    def drop(self) -> Drop:
        """The drop, as far as landing wants to know it."""
        after: Any = self.after
        return Drop(name=self.unit.drop, path=self.root, after=after, dest=self.dest)

    @property
    def is_archive(self) -> bool:
        """Whether its members lay in an archive file."""
        return self.unit.kind is Kind.ARCHIVE


def promise_text(made: Promise) -> bytes:
    """A promise as the text of its file."""
    values = {
        "id": made.id,
        "drop": made.unit.drop,
        "root": made.root,
        "after": made.after,
        "dest": made.dest,
        "name": _text(made.unit.name),
        "kind": made.unit.kind.value,
        "sources": [_source_values(path, seen) for path, seen in made.unit.sources],
        "markers": [_source_values(path, seen) for path, seen in made.unit.markers],
        "filed": made.filed,
    }
    return json.dumps(values, indent=1).encode() + b"\n"


def promise_of(text: bytes) -> Promise:
    """The promise in such a text; DocumentError where there is none."""
    try:
        values = json.loads(text)
        unit = Unit(
            values["drop"],
            os.fsencode(values["name"]),
            Kind(values["kind"]),
            _sources_of(values["sources"]),
            _sources_of(values["markers"]),
        )
        own = (values["id"], values["root"], values["after"], values["dest"], unit)
        return Promise(*own, filed=values["filed"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DocumentError("the promise of a unit can't be read") from error


def member_text(member: Member) -> str:
    """A member as one line."""
    values: dict[str, Any] = {
        "part": member.part.value,
        "path": _text(member.path),
        "staged": member.staged,
        "print": member.print.numbers,
        "text": member.text,
    }
    if member.header is not None and member.identity is not None:
        values |= _instance_values(member, member.header, member.identity)
    return json.dumps(values)


def _instance_values(member: Member, header: Header, identity: Identity) -> dict[str, Any]:
    return {
        "digest": member.digest,
        "header": {written(tag): text for tag, text in header.values.items()},
        "project": identity.key.project,
        "study": identity.key.study,
        "label": identity.key.label,
        "subject": identity.subject,
        "auto_archive": identity.auto_archive,
        "origins": dict(identity.origins),
    }


def member_of(line: bytes) -> Member:
    """The member in such a line; DocumentError where there is none."""
    try:
        values = json.loads(line)
        plain = Member(
            Part(values["part"]),
            os.fsencode(values["path"]),
            values["staged"],
            Fingerprint(*values["print"]),
            values["text"],
        )
        if "header" not in values:
            return plain
        key = SessionKey(values["project"], values["study"], values["label"])
        return replace(
            plain,
            digest=values["digest"],
            header=Header({tag_of(tag): text for tag, text in values["header"].items()}),
            identity=Identity(key, values["subject"], values["auto_archive"], values["origins"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DocumentError("what was noted of a unit's member can't be read") from error


def _text(path: bytes) -> str:
    return os.fsdecode(path)  # JSON keeps what is not UTF-8 as lone surrogates


def _source_values(path: bytes, seen: Fingerprint) -> dict[str, Any]:
    return {"path": _text(path), "print": seen.numbers}


def _sources_of(values: Iterable[dict[str, Any]]) -> tuple[tuple[bytes, Fingerprint], ...]:
    return tuple((os.fsencode(each["path"]), Fingerprint(*each["print"])) for each in values)
