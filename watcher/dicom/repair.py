"""What a session XML says of every resource, those of scans and all others."""

from collections.abc import Iterator
from dataclasses import dataclass

from watcher.dicom import document
from watcher.dicom.entry import counted
from watcher.dicom.markup import XNAT, Element, parse

_SCAN = f"{XNAT}scan"


@dataclass(frozen=True, slots=True)
class Named:
    """A resource that a session XML names. `scan` and `series` are empty outside of scans."""

    uri: str
    label: str = ""
    scan: str = ""
    series: str = ""
    files: int | None = None  # as the XML counts; None where it does not say
    size: int | None = None  # bytes


def named(data: bytes) -> tuple[Named, ...]:
    """Every resource of a session XML that has a URI, in its order. Raises DocumentError."""
    document.read(data)  # what nobody else could use is no session XML here either
    return tuple(_resources(parse(data, document.WHAT)))


def _resources(root: Element) -> Iterator[Named]:
    for element in root.iter(f"{XNAT}*"):
        if uri := element.get("URI"):
            scan = next(element.iterancestors(_SCAN), None)
            yield Named(
                uri=uri,
                label=element.get("label", ""),
                scan="" if scan is None else scan.get("ID", ""),
                series="" if scan is None else scan.get("UID", ""),
                files=counted(element.get("file_count", "")),
                size=counted(element.get("file_size", "")),
            )
