"""A scan's files ⇄ its catalog XML, XNAT's `cat:DCMCatalog` (xnat-facts 5)."""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from lxml import etree

from watcher.core.errors import DocumentError
from watcher.core.model import Entry, Instance
from watcher.core.scans import instance_number
from watcher.dicom.markup import (
    CATALOG,
    NAMESPACES,
    XSI_TYPE,
    Element,
    add,
    clean,
    put,
    root_in,
    serialise,
)

WHAT: Final = "the catalog"
SIZE: Final = "SIZE"  # bytes; XNAT's own name
CLASS: Final = "SOPClassUID"  # ours: XNAT's schema has no place for it
PROJECT: Final = "PROJECT"

_ROOTS: Final = (f"{CATALOG}DCMCatalog", f"{CATALOG}Catalog")
_ORDER: Final = ("metaFields", "tags", "sets", "entries", "dimensions", "voxelRes", "orientation")
_ENTRY: Final = f"{CATALOG}entry"
_META: Final = f"{CATALOG}metaFields"
_FIELD: Final = f"{CATALOG}metaField"
_DCM: Final = "cat:dcmEntry"
_NOTHING: Final[Mapping[str, Entry]] = MappingProxyType({})
_MOMENT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,15}(?:Z|[+-][0-9]{2}:[0-9]{2})?")
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,18}")


def entry_of(instance: Instance, uri: str) -> Entry:
    """The entry of a filed instance; `uri` is relative to the catalog's own folder.

    A missing InstanceNumber counts as 1, as in XNAT (xnat-facts 4.6).
    """
    number = instance_number(instance)
    arrived = datetime.fromtimestamp(instance.arrived, UTC)
    return Entry(
        uri=uri,
        uid=instance.header.sop_instance,
        digest=instance.digest.lower(),
        size=instance.size,
        class_uid=instance.header.sop_class,
        instance_number=1 if number is None else number,
        id=uri,
        created=arrived.strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def compose(
    scan_uid: str,
    entries: Sequence[Entry],
    *,
    catalog_id: str = "",
    dimensions: tuple[int, int, int] | None,
    project: str = "",
) -> bytes:
    """A whole catalog, valid against catalog.xsd. `dimensions`: columns, rows, frames."""
    names = {prefix: NAMESPACES[prefix] for prefix in ("cat", "xsi")}
    root = etree.Element(f"{CATALOG}DCMCatalog", nsmap=names)
    root.set("UID", clean(scan_uid))
    if catalog_id:
        root.set("ID", clean(catalog_id))
    if project:
        add(add(root, _META), _FIELD, clean(project), name=PROJECT)
    held = add(root, f"{CATALOG}entries")
    for entry in sorted(entries, key=_entry_order):
        _write(add(held, _ENTRY), entry)
    if dimensions:
        x, y, z = map(str, dimensions)
        add(root, f"{CATALOG}dimensions", x=x, y=y, z=z)
    return serialise(root)


def read(data: bytes) -> tuple[str, tuple[Entry, ...]]:
    """SeriesInstanceUID and entries; nested sets are flattened, URIs raw.

    Raises DocumentError where it is empty, torn, declares a document type or is no catalog.
    """
    root = root_in(data, WHAT, _ROOTS)
    return root.get("UID", ""), tuple(_entry(element) for element in root.iter(_ENTRY))


def merge(
    existing: bytes,
    add: Sequence[Entry],
    *,
    replace: Mapping[str, Entry] = _NOTHING,
    drop: Collection[str] = (),
) -> bytes:
    """The catalog with entries added, replaced (by their old URI) and dropped (by URI).

    Attributes, metaFields and nested sets it does not know stay. Doing it again changes
    nothing. Raises DocumentError where an addition would take a listed URI with another digest, or
    what is to be replaced is not listed.
    """
    root = root_in(existing, WHAT, _ROOTS)
    before = {element.get("URI", ""): element for element in root.iter(_ENTRY)}
    count = sum(1 for _ in root.iter(_ENTRY))
    for uri, entry in replace.items():
        _replace(before, uri, entry)
    for uri in drop:
        _drop(before.get(uri))
    _append(root, [entry for entry in add if not _listed(before.get(entry.uri), entry)])
    _resize(root, sum(1 for _ in root.iter(_ENTRY)) - count)
    return serialise(root)


def _entry_order(entry: Entry) -> tuple[bool, int, str]:
    return entry.instance_number is None, entry.instance_number or 0, entry.uri


def _write(element: Element, entry: Entry) -> None:
    """Our own attributes and metaFields; those that say nothing are left as they are."""
    own = {
        "URI": clean(entry.uri),
        "ID": clean(entry.id),
        "UID": clean(entry.uid),
        "instanceNumber": "" if entry.instance_number is None else str(entry.instance_number),
        "digest": clean(entry.digest).lower(),
        "createdTime": _moment(entry.created),
        XSI_TYPE: _DCM,
    }
    for name, value in own.items():
        if value:
            element.set(name, value)
    _write_meta(element, SIZE, "" if entry.size is None else str(entry.size))
    _write_meta(element, CLASS, clean(entry.class_uid))


def _write_meta(element: Element, name: str, value: str) -> None:
    if not value:
        return
    fields = element.find(_META)
    if fields is None:
        fields = etree.Element(_META)
        element.insert(0, fields)
    for field in fields.iterchildren(_FIELD):
        if field.get("name") == name:
            field.text = value
            return
    add(fields, _FIELD, value, name=name)


def _moment(text: str) -> str:
    """An xs:dateTime; empty where it is none."""
    if not _MOMENT.fullmatch(text):
        return ""
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return ""
    return text


def _entry(element: Element) -> Entry:
    meta = {field.get("name", ""): field.text or "" for field in element.iterfind(f"*/{_FIELD}")}
    return Entry(
        uri=element.get("URI", ""),
        uid=element.get("UID", ""),
        digest=element.get("digest", "").lower(),
        size=_whole(meta.get(SIZE, "")),
        class_uid=meta.get(CLASS, ""),
        instance_number=_whole(element.get("instanceNumber", "")),
        id=element.get("ID", ""),
        created=element.get("createdTime", ""),
    )


def _whole(text: str) -> int | None:
    return int(text) if _WHOLE.fullmatch(text.strip()) else None


def _listed(element: Element | None, entry: Entry) -> bool:
    """Whether an addition stands there already. A URI never comes to mean other content."""
    if element is None or element.getparent() is None:
        return False
    if element.get("digest", "").lower() != entry.digest.lower():
        raise DocumentError(f"{WHAT} lists a file of that name with another digest")
    return True


def _replace(before: Mapping[str, Element], uri: str, entry: Entry) -> None:
    element = before.get(uri)
    if element is None:
        if not _listed(before.get(entry.uri), entry):
            raise DocumentError(f"{WHAT} does not list the file to be replaced")
        return
    for name in ("name", "cachePath"):  # XNAT repeats the URI there
        if element.get(name) == uri:
            element.set(name, clean(entry.uri))
    _write(element, entry)


def _drop(element: Element | None) -> None:
    parent = None if element is None else element.getparent()
    if element is not None and parent is not None:
        parent.remove(element)


def _append(root: Element, entries: Sequence[Entry]) -> None:
    if not entries:
        return
    held = root.find(f"{CATALOG}entries")
    if held is None:
        held = etree.Element(f"{CATALOG}entries")
        put(root, held, _ORDER)
    for entry in sorted(entries, key=_entry_order):
        _write(add(held, _ENTRY), entry)


def _resize(root: Element, change: int) -> None:
    """The frame count follows the number of files; more frames in one file are not seen here."""
    element = root.find(f"{CATALOG}dimensions")
    frames = None if element is None else _whole(element.get("z", ""))
    if element is not None and frames is not None:
        element.set("z", str(max(0, frames + change)))
