"""One file of a catalog, `cat:dcmEntry` ⇄ Entry (xnat-facts 5.1, 5.2)."""

import re
from datetime import datetime
from functools import lru_cache
from typing import Final

from lxml import etree

from watcher.core.archived import Entry
from watcher.dicom.markup import CATALOG, XSI_TYPE, Element, add, clean

SIZE: Final = "SIZE"  # bytes; XNAT's own name
CLASS: Final = "SOPClassUID"  # ours: XNAT's schema has no place for it
ENTRY: Final = f"{CATALOG}entry"
META: Final = f"{CATALOG}metaFields"
FIELD: Final = f"{CATALOG}metaField"

_ESCAPED: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"}
_TEXT: Final = str.maketrans(_ESCAPED)
_QUOTED: Final = str.maketrans({**_ESCAPED, '"': "&quot;", "\n": "&#10;", "\t": "&#9;"})
_DCM: Final = "cat:dcmEntry"
_MOMENT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,15}(?:Z|[+-][0-9]{2}:[0-9]{2})?")
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,18}")


def write_entry(element: Element, entry: Entry) -> None:
    """Our own attributes and metaFields; those that say nothing are left as they are."""
    for name, value in (*_own(entry), (XSI_TYPE, _DCM)):
        if value:
            element.set(name, value)
    for name, value in _meta(entry):
        if value:
            _write_meta(element, name, value)


def entry_text(entry: Entry) -> str:
    """A new entry as `markup.serialise` writes it into a catalog, without making its elements."""
    own = "".join(f' {name}="{value.translate(_QUOTED)}"' for name, value in _own(entry) if value)
    meta = "".join(
        f'        <cat:metaField name="{name}">{value.translate(_TEXT)}</cat:metaField>\n'
        for name, value in _meta(entry)
        if value
    )
    head = f'    <cat:entry{own} xsi:type="{_DCM}"'
    if not meta:
        return f"{head}/>\n"
    inside = f"      <cat:metaFields>\n{meta}      </cat:metaFields>\n"
    return f"{head}>\n{inside}    </cat:entry>\n"


def _own(entry: Entry) -> tuple[tuple[str, str], ...]:
    number = entry.instance_number
    return (
        ("URI", clean(entry.uri)),
        ("ID", clean(entry.id)),
        ("UID", clean(entry.uid)),
        ("instanceNumber", "" if number is None else str(number)),
        ("digest", clean(entry.digest).lower()),
        ("createdTime", _moment(entry.created)),
    )


def _meta(entry: Entry) -> tuple[tuple[str, str], ...]:
    size = "" if entry.size is None else str(entry.size)
    return (SIZE, size), (CLASS, clean(entry.class_uid))


def _write_meta(element: Element, name: str, value: str) -> None:
    fields = element.find(META)
    if fields is None:
        fields = etree.Element(META)
        element.insert(0, fields)
    for field in fields.iterchildren(FIELD):
        if field.get("name") == name:
            field.text = value
            return
    add(fields, FIELD, value, name=name)


@lru_cache(maxsize=64)
def _moment(text: str) -> str:
    """An xs:dateTime; empty where it is none."""
    if not _MOMENT.fullmatch(text):
        return ""
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return ""
    return text


def read_entry(element: Element) -> Entry:
    """What an entry says; what is no number is left out."""
    meta = stated(element)
    return Entry(
        uri=element.get("URI", ""),
        uid=element.get("UID", ""),
        digest=element.get("digest", "").lower(),
        size=whole(meta.get(SIZE, "")),
        class_uid=meta.get(CLASS, ""),
        instance_number=whole(element.get("instanceNumber", "")),
        id=element.get("ID", ""),
        created=element.get("createdTime", ""),
    )


def stated(element: Element) -> dict[str, str]:
    """Its metaFields by name."""
    return {field.get("name", ""): field.text or "" for field in element.iter(FIELD)}


def whole(text: str) -> int | None:
    """An xs:integer of sensible length."""
    return int(text) if _WHOLE.fullmatch(text.strip()) else None


def counted(text: str) -> int | None:
    """A number of files or bytes; None where it says none, or none of sensible length."""
    number = whole(text)
    return number if number is not None and number >= 0 else None
