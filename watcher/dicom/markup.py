"""XML in and out: no entity, no network, no DTD, no character that XML forbids."""

import re
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
LONGEST: Final = 10_000  # characters of one text: libxml2 refuses to read back more than 10 MB

_FOREIGN: Final = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"  # XML 1.0, 2.2, less C1
)


def clean(text: str, limit: int = LONGEST) -> str:
    """Text that XML can carry: control characters and lone surrogates become U+FFFD, then cut."""
    cut = text[:limit]
    return cut if cut.isprintable() else _FOREIGN.sub("\ufffd", cut)


def parse(data: bytes, what: str) -> Element:
    """The root element. Raises DocumentError; the text never repeats what the document says."""
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        huge_tree=False,
        recover=False,
    )
    try:
        root = etree.fromstring(data, parser)
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
