"""What XNAT's schemas have against a document (`schemas/`: XNAT's own files, see LICENSE)."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from threading import Lock
from types import MappingProxyType
from typing import Final, Protocol, cast

from lxml import etree

from watcher.core.errors import DocumentError
from watcher.dicom.markup import parse

MOST: Final = 10  # faults given of one document

# libxml2 begins every text so; what follows quotes values and is not passed on.
_WHERE: Final = re.compile(
    r"Element '(?:\{[^}]*\})?([^']*)'(?:, attribute '(?:\{[^}]*\})?([^']*)')?: "
)
_TYPE: Final = re.compile(r" type '(xs:[A-Za-z]+)'\.\Z")
_MISSING: Final = re.compile(r"The attribute '([\w.:-]+)' is required but missing\.\Z")
_RULES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "SCHEMAV_CVC_COMPLEX_TYPE_2_3": "text is not allowed here",
        "SCHEMAV_CVC_COMPLEX_TYPE_3_2_1": "is not allowed",
        "SCHEMAV_CVC_ELT_1": "can't be the root",
        "SCHEMAV_CVC_ENUMERATION_VALID": "has a value that is not in the list",
        "SCHEMAV_ELEMENT_CONTENT": "is not expected here, or an element before it is missing",
    }
)


class _Said(Protocol):
    """A line of lxml's error log, for which the stubs have no name."""

    line: int
    message: str
    type_name: str


_lock: Final = Lock()  # a schema keeps the faults of its last document


def session_faults(data: bytes, before: bytes | None = None) -> tuple[str, ...]:
    """What xnat.xsd has against a session XML: at most ten lines, `line N: ...`; () if valid.

    Names of elements and attributes and the rule, never a value of the document. `before`: the
    XML it was made from, whose own faults are not given again; none where nothing was changed.
    """
    if data == before:
        return ()
    name, what = "xnat.xsd", "the session XML"
    known = Counter(_rule(fault) for fault in _faults(before, name, what)) if before else Counter()
    found = []
    for fault in _faults(data, name, what):
        known[_rule(fault)] -= 1
        if known[_rule(fault)] < 0:
            found.append(fault)
    return tuple(found[:MOST])


def _rule(fault: str) -> str:
    """A fault without its line."""
    return fault.partition(": ")[2]


def catalog_faults(data: bytes) -> tuple[str, ...]:
    """What catalog.xsd has against a catalog; as `session_faults`."""
    return _faults(data, "catalog.xsd", "the catalog")[:MOST]


@cache
def _schema(name: str) -> etree.XMLSchema:
    path = files("watcher.dicom").joinpath("schemas", name)
    return etree.XMLSchema(etree.parse(str(path), etree.XMLParser(no_network=True)))


def _faults(data: bytes, name: str, what: str) -> tuple[str, ...]:
    try:
        root = parse(data, what)
    except DocumentError as error:
        return (str(error),)
    with _lock:
        schema = _schema(name)
        schema.validate(root)
        return tuple(
            f"line {each.line}: {_told(each.message, each.type_name)}"
            for each in cast("Iterable[_Said]", schema.error_log)
        )


def _told(message: str, rule: str) -> str:
    found = _WHERE.match(message)
    where = " of ".join(filter(None, reversed(found.groups()))) if found else "the document"
    return f"{where}: {_broken(message[found.end() :] if found else '', rule)}"


def _broken(text: str, rule: str) -> str:
    """The broken rule in words; the name of XML Schema for those that are rare."""
    if missing := _MISSING.match(text):
        return f"the attribute {missing[1]} is missing"
    if text.startswith("Missing child element"):
        return "an element in it is missing"
    if kind := _TYPE.search(text):
        return f"has a value that is no {kind[1]}"
    return _RULES.get(rule) or f"breaks {rule.removeprefix('SCHEMAV_').lower().replace('_', '-')}"
