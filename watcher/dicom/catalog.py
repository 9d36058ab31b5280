"""A scan's files ⇄ its catalog XML, XNAT's `cat:DCMCatalog` (xnat-facts 5)."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from types import MappingProxyType
from typing import Final

from lxml import etree

from watcher.core.archived import Entry
from watcher.core.errors import DocumentError
from watcher.core.listing import entry_of
from watcher.core.uris import decoded
from watcher.dicom.entry import (
    ENTRY,
    FIELD,
    META,
    SIZE,
    entry_text,
    read_entry,
    stated,
    whole,
    write_entry,
)
from watcher.dicom.excerpt import Excerpt, excerpt
from watcher.dicom.markup import (
    CATALOG,
    NAMESPACES,
    Element,
    add,
    clean,
    inflated,
    put,
    remains,
    root_in,
    serialise,
)

__all__ = ["Selected", "compose", "entry_of", "merge", "read", "salvage", "select"]

WHAT: Final = "the catalog"
PROJECT: Final = "PROJECT"

_AROUND: Final = b"<cat:entries>", b"</cat:entries>"
_ROOTS: Final = (f"{CATALOG}DCMCatalog", f"{CATALOG}Catalog")
_ORDER: Final = ("metaFields", "tags", "sets", "entries", "dimensions", "voxelRes", "orientation")
_NOTHING: Final[Mapping[str, Entry]] = MappingProxyType({})
_DIGEST: Final = re.compile(r"[0-9a-f]{32}")  # MD5


@dataclass(frozen=True, slots=True)
class Selected:
    """What of a catalog matters for some files, and what all of it amounts to."""

    uid: str  # SeriesInstanceUID
    entries: tuple[Entry, ...]
    files: int
    size: int  # bytes, of the entries that say
    bare: int  # entries without a UID, less those that say another format than DICOM
    sizes: Mapping[str, int | None] = field(default_factory=dict, repr=False, compare=False)
    """The SIZE of every entry, as its first says, by URI; None where none says."""
    cut: Excerpt | None = field(default=None, repr=False, compare=False)  # for `merge`


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
        add(add(root, META), FIELD, clean(project), name=PROJECT)
    add(root, f"{CATALOG}entries", "-" if entries else "")
    if dimensions:
        x, y, z = map(str, dimensions)
        add(root, f"{CATALOG}dimensions", x=x, y=y, z=z)
    opened, closed = _AROUND
    head, here, tail = serialise(root).partition(opened + b"-" + closed)
    text = BytesIO()  # one copy of all the entries, and no tree of them
    text.write(head)
    if here:
        text.write(opened + b"\n")
        text.writelines(entry_text(each).encode() for each in sorted(entries, key=_entry_order))
        text.write(b"  " + closed)
    text.write(tail)
    return text.getvalue()


def read(data: bytes) -> tuple[str, tuple[Entry, ...]]:
    """SeriesInstanceUID and entries; nested sets are flattened, URIs raw; may be gzipped.

    Raises DocumentError where it is empty, torn, declares a document type or is no catalog.
    """
    root = _root(inflated(data, WHAT))
    return root.get("UID", ""), tuple(read_entry(element) for element in root.iter(ENTRY))


def select(
    data: bytes, uids: Collection[str], names: Collection[str], cut: Excerpt | None = None
) -> Selected:
    """The entries with one of the SOP UIDs, of one of the names, or without UID; and the totals.

    An entry has the name of its URI, raw or percent-decoded, with or without folders. For large
    catalogs cheaper than `read`, which it is otherwise like. `cut`: the excerpt of the very bytes.
    """
    text = inflated(data, WHAT)
    if cut := cut or excerpt(text):
        return _of_excerpt(cut, uids, names)
    root = _root(text)
    found = list(root.iter(ENTRY))
    sizes = [_size(each) for each in found]
    return Selected(
        uid=root.get("UID", ""),
        entries=tuple(
            read_entry(each)
            for each in found
            if _matters(each.get("URI", ""), each.get("UID", ""), uids, names)
        ),
        files=len(found),
        size=sum(size or 0 for size in sizes),
        bare=sum(_is_bare(each) for each in found),
        sizes=_by_uri((each.get("URI", "") for each in found), sizes),
    )


def _size(element: Element) -> int | None:
    size = whole(stated(element).get(SIZE, ""))
    return None if size is None else max(0, size)


def _by_uri(uris: Iterable[str], sizes: Iterable[int | None]) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    for uri, size in zip(uris, sizes, strict=True):
        if found.get(uri) is None:
            found[uri] = size
    return found


def _of_excerpt(cut: Excerpt, uids: Collection[str], names: Collection[str]) -> Selected:
    rows = enumerate(cut.rows) if cut.may_list(uids, names) else ()
    mine = [number for number, (uri, uid, *_) in rows if _matters(uri, uid, uids, names)]
    uid, entries = read(cut.only(mine)) if mine else (_root(cut.first).get("UID", ""), ())
    bare = sum(not entry.uid.strip() for entry in entries)
    return Selected(uid, entries, len(cut.rows), cut.size, bare, cut.sizes, cut)


def salvage(data: bytes) -> dict[str, str]:
    """URIs and digests that can still be read in a damaged catalog; {} where there are none.

    No digest is invented: one that is not whole is left out, and of two for one URI the first
    stays.
    """
    try:
        root = remains(inflated(data, WHAT, torn=True))
    except DocumentError:
        return {}
    known: dict[str, str] = {}
    for element in () if root is None else root.iter(ENTRY):
        uri, digest = element.get("URI", ""), element.get("digest", "").lower()
        if uri and _DIGEST.fullmatch(digest):
            known.setdefault(uri, digest)
    return known


def merge(
    existing: bytes,
    add: Sequence[Entry],
    *,
    replace: Mapping[str, Entry] = _NOTHING,
    drop: Collection[str] = (),
    cut: Excerpt | None = None,
) -> bytes:
    """The catalog with entries added, replaced (by their old URI) and dropped (by URI).

    Attributes, metaFields and nested sets it does not know stay. Doing it again changes
    nothing. It may be gzipped; the result is not. Raises DocumentError where an addition would take
    a listed URI with another digest, or what is to be replaced is not listed. `cut`: what `select`
    made of the same bytes.
    """
    text = inflated(existing, WHAT)
    cut = None if replace or drop else cut or excerpt(text)
    if cut and not _lists(cut, {entry.uri for entry in add}):
        return cut.whole(serialise(_merged(_root(cut.first), add)))
    return serialise(_merged(_root(text), add, replace, drop))


def _lists(cut: Excerpt, names: Collection[str]) -> bool:
    if not cut.may_list((), names):
        return False
    return not {*names}.isdisjoint([uri for uri, *_ in cut.rows])


def _merged(
    root: Element,
    add: Sequence[Entry],
    replace: Mapping[str, Entry] = _NOTHING,
    drop: Collection[str] = (),
) -> Element:
    before: defaultdict[str, list[Element]] = defaultdict(list)
    for element in root.iter(ENTRY):
        before[element.get("URI", "")].append(element)
    gone = [each for uri, entry in replace.items() for each in _replace(before, uri, entry)]
    gone += [each for uri in drop for each in before.pop(uri, ())]
    dropped = sum(map(_drop, gone))
    fresh = [entry for entry in add if not _listed(before[entry.uri], entry)]
    _append(root, fresh)
    _resize(root, len(fresh) - dropped)
    return root


def _root(text: bytes) -> Element:
    return root_in(text, WHAT, _ROOTS)


def _matters(uri: str, uid: str, uids: Collection[str], names: Collection[str]) -> bool:
    """Whether an entry is, or may be, one of the files asked for."""
    if uid in uids or uri in names or not uid.strip():
        return True
    if "/" not in uri and "%" not in uri:
        return False
    plain = decoded(uri)
    bases = (text.rpartition("/")[2] for text in (uri, plain))
    return plain in names or any(base in names for base in bases)


def _is_bare(element: Element) -> bool:
    return not element.get("UID", "").strip() and element.get("format", "DICOM") in {"DICOM", ""}


def _entry_order(entry: Entry) -> tuple[bool, int, str]:
    return entry.instance_number is None, entry.instance_number or 0, entry.uri


def _listed(elements: Sequence[Element], entry: Entry) -> bool:
    """Whether an addition stands there already. A URI never comes to mean other content."""
    if any(element.get("digest", "").lower() != entry.digest.lower() for element in elements):
        raise DocumentError(f"{WHAT} lists a file of that name with another digest")
    return bool(elements)


def _replace(before: Mapping[str, Sequence[Element]], uri: str, entry: Entry) -> Sequence[Element]:
    """Make the first entry of a URI another's; gives those that list the old file once more."""
    if not before[uri]:
        if not _listed(before[entry.uri], entry):
            raise DocumentError(f"{WHAT} does not list the file to be replaced")
        return ()
    element, *others = before[uri]
    for name in ("name", "cachePath"):  # XNAT repeats the URI there
        if element.get(name) == uri:
            element.set(name, clean(entry.uri))
    write_entry(element, entry)
    return others


def _drop(element: Element) -> bool:
    parent = element.getparent()
    if parent is not None:
        parent.remove(element)
    return parent is not None


def _append(root: Element, entries: Sequence[Entry]) -> None:
    if not entries:
        return
    held = root.find(f"{CATALOG}entries")
    if held is None:
        held = etree.Element(f"{CATALOG}entries")
        put(root, held, _ORDER)
    for entry in sorted(entries, key=_entry_order):
        write_entry(add(held, ENTRY), entry)


def _resize(root: Element, change: int) -> None:
    """The frame count follows the number of files; more frames in one file are not seen here."""
    element = root.find(f"{CATALOG}dimensions")
    frames = None if element is None else whole(element.get("z", ""))
    if element is not None and frames is not None:
        element.set("z", str(max(0, frames + change)))
