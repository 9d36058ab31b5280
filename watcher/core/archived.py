"""The words of an archived session, as its XML and catalogs tell of it. All frozen."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a catalog (cat:dcmEntry). Empty where an old catalog does not say."""

    uri: str
    uid: str  # SOPInstanceUID
    digest: str
    size: int | None
    class_uid: str = ""  # SOPClassUID
    instance_number: int | None = None
    id: str = ""
    created: str = ""  # xs:dateTime
    path: str = ""  # its file, relative to the session's folder, where the URI is no plain one


@dataclass(frozen=True, slots=True)
class ArchivedResource:
    """One resource of an archived scan, as its catalog tells.

    `entries` may be only those that matter for the files at hand; `files` and `size` count all.
    """

    label: str
    catalog: str  # path relative to the session's folder
    entries: tuple[Entry, ...] = ()
    files: int = 0
    size: int = 0  # bytes
    fault: str = ""  # why its catalog could not be used; the entries are read from the files then


@dataclass(frozen=True, slots=True)
class ArchivedScan:
    """One scan of an archived session."""

    id: str
    uid: str  # SeriesInstanceUID, may be empty
    type: str  # xsi:type, "xnat:mrScanData"
    modality: str
    resources: tuple[ArchivedResource, ...] = ()


@dataclass(frozen=True, slots=True)
class Archived:
    """An archived session, as its XML and catalogs tell."""

    project: str
    label: str
    subject: str
    id: str  # experiment ID
    study: str
    accepted: tuple[str, ...]  # other studies a person let in
    type: str  # root element without prefix: "MRSession"
    scans: tuple[ArchivedScan, ...]
    fields: Mapping[str, str] = field(default_factory=dict)  # patient id, name, ... as evidence
