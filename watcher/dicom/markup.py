"""XML in and out: no entity, no network, no DTD, no character that XML forbids."""

import re
import zlib
from collections.abc import Collection, Sequence
from typing import Final, TypeAlias

from lxml import etree
from lxml.etree import _Element  # lxml's element class has no public name

from watcher.core.errors import DocumentError

Element: TypeAlias = _Element

XNAT: Final = "{http://nrg.wustl.edu/xnat}"
CATALOG: Final = "{http://nrg.wustl.edu/catalog}"
XSI_TYPE: Final = "{http://www.w3.org/2001/XMLSchema-instance}type"
NAMESPACES: Final = {
    "xnat": XNAT[1:-1],
    "cat": CATALOG[1:-1],
    "xsi": "http://www.w3.org/2001/XMLSchema-instance",
}
LARGEST: Final = 64 << 20  # bytes of a document; one entry of a catalog takes 200
NODES: Final = 3_000_000  # elements and attributes; each takes 250 bytes of memory, at most
RATIO: Final = 200  # times its own size, beyond the first MiB; catalogs shrink to a thirtieth
LONGEST: Final = 10_000  # characters of one text: libxml2 refuses to read back more than 10 MB

_FOREIGN: Final = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"  # XML 1.0, 2.2, less C1
)


def clean(text: str, limit: int = LONGEST) -> str:
    """Text that XML can carry: control characters and lone surrogates become U+FFFD, then cut."""
    cut = text[:limit]
    return cut if cut.isprintable() else _FOREIGN.sub("\ufffd", cut)


def inflated(data: bytes, what: str, *, torn: bool = False) -> bytes:
    """The document as it was before it was gzipped, if it was; of a torn one the head, if asked.

    Raises DocumentError where it is torn, damaged, or becomes larger than the limits.
    """
    if not data.startswith(b"\x1f\x8b"):
        return data
    most = min(LARGEST, max(1 << 20, RATIO * len(data)))
    inflater = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        text = inflater.decompress(data, most + 1)
    except zlib.error as error:
        raise DocumentError(f"{what} is gzipped and damaged") from error
    if len(text) > most:
        raise DocumentError(f"{what} is gzipped and becomes larger than the limit")
    if not torn and (inflater.unused_data or not inflater.eof):
        raise DocumentError(f"{what} is gzipped and torn")
    return text


def _parser(*, recover: bool) -> etree.XMLParser:
    return etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        huge_tree=False,
        recover=recover,
    )


def _is_large(data: bytes) -> bool:
    """Whether a tree of it would take more memory than a document may have."""
    return len(data) > LARGEST or data.count(b"<") + data.count(b"=") > NODES


def remains(data: bytes) -> Element | None:
    """The root element of a document that may be torn, with what can still be read; or None."""
    if _is_large(data):
        return None
    try:
        root: Element | None = etree.fromstring(data, _parser(recover=True))
    except etree.XMLSyntaxError:
        return None
    declared = root is not None and root.getroottree().docinfo.internalDTD is not None
    return None if declared else root


def parse(data: bytes, what: str) -> Element:
    """The root element. Raises DocumentError; the text never repeats what the document says."""
    if _is_large(data):
        raise DocumentError(f"{what} is larger than the limit")
    try:
        root = etree.fromstring(data, _parser(recover=False))
    except etree.XMLSyntaxError as error:
        raise DocumentError(f"{what} can't be read as XML (line {error.lineno})") from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise DocumentError(f"{what} has a document type declaration")
    return root


def serialise(root: Element) -> bytes:
    """The whole document, UTF-8, indented. The same tree gives the same bytes."""
    etree.indent(root)
    tree = root.getroottree()
    return etree.tostring(tree, encoding="UTF-8", xml_declaration=True) + b"\n"


def local(element: Element) -> str:
    """The element's name without its namespace; empty for a comment or an instruction."""
    return etree.QName(element).localname if isinstance(element.tag, str) else ""


def add(parent: Element, tag: str, text: str = "", /, **attributes: str) -> Element:
    """A new last child, `tag` with its namespace; empty attributes are left out."""
    child = etree.SubElement(parent, tag)
    child.text = text or None
    for key, value in attributes.items():
        if value:
            child.set(key, value)
    return child


def put(parent: Element, child: Element, order: Sequence[str]) -> None:
    """Inserts a child where the schema's sequence wants it; names not in `order` come last."""
    ranks = {name: rank for rank, name in enumerate(order)}
    own = ranks.get(local(child), len(order))
    for index, other in enumerate(parent):
        if local(other) and ranks.get(local(other), len(order)) > own:
            parent.insert(index, child)
            return
    parent.append(child)


def root_in(data: bytes, what: str, names: Collection[str]) -> Element:
    """The root element, one of `names` (with namespace). Raises DocumentError."""
    root = parse(data, what)
    if root.tag not in names:
        raise DocumentError(f"{what} has another root element than it should")
    return root
