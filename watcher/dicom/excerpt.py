"""A large catalog in our own hand, read and added to without a tree of all its entries.

What `catalog.compose` writes is so regular that one expression reads it: a third of what a parser
takes. Anything it does not match to the letter is a parser's work.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, TypeAlias

from watcher.core.errors import DocumentError
from watcher.dicom.markup import CATALOG, LARGEST, parse

_HEAD: Final = "<?xml version='1.0' encoding='UTF-8'?>\n<cat:"
_OPEN: Final = "\n  <cat:entries>\n"
_CLOSE: Final = "  </cat:entries>\n"
_START: Final = "    <cat:entry URI="
_END: Final = "\n    </cat:entry>\n"
_VALUE: Final = r'[^"<]++'
_ROW: Final = re.compile(
    rf'    <cat:entry URI="({_VALUE})"(?: ID="{_VALUE}")?+(?: UID="([0-9.]++)")?+'
    r'(?: instanceNumber="(-?[0-9]{1,18}+)")?+'
    rf'(?: digest="{_VALUE}")?+(?: createdTime="{_VALUE}")?+'
    r' xsi:type="cat:dcmEntry">\n      <cat:metaFields>\n'
    r'        <cat:metaField name="SIZE">([0-9]{1,18})</cat:metaField>\n'
    r'        <cat:metaField name="SOPClassUID">[0-9.]++</cat:metaField>\n'
    r"      </cat:metaFields>\n    </cat:entry>\n"
)
_PLAIN: Final = bytes(set(range(0x20, 0x7F)) - set(b"&") | set(b"\n"))

FEW: Final = 16  # looked for one by one

Row: TypeAlias = tuple[str, str, str, str]
"""One entry: its URI, UID, InstanceNumber (each empty where it has none) and size in bytes."""


@dataclass(frozen=True)
class Excerpt:
    """A catalog as what stands before its entries, their text, and what stands after.

    What is counted is counted once: an excerpt may be kept as long as its file is what it was.
    """

    head: str
    body: str
    tail: str
    rows: Sequence[Row]

    @cached_property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(int(size) for *_, size in self.rows)

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        """The bytes of each file, by its URI; of one that is listed twice, as said first."""
        return {uri: int(size) for uri, *_, size in reversed(self.rows)}

    @cached_property
    def numbers(self) -> Sequence[int | None]:
        """The InstanceNumbers of its entries; None where one has none."""
        return [int(number) if number else None for _, _, number, _ in self.rows]

    @cached_property
    def is_even(self) -> bool:
        """Whether each entry has a UID, and a plain name for its URI."""
        return all(uid and "/" not in uri and "%" not in uri for uri, uid, *_ in self.rows)

    def may_list(self, uids: Collection[str], names: Collection[str]) -> bool:
        """Whether any of these may be listed; no for certain."""
        if not self.is_even or len(uids) + len(names) > FEW:
            return True
        texts = (*(f' UID="{uid}"' for uid in uids), *(f' URI="{name}"' for name in names))
        return any(text in self.body for text in texts)

    def only(self, numbers: Collection[int]) -> bytes:
        """The catalog with some of its entries only, by their place among `rows`."""
        texts = self.body.split(_END) if numbers else []
        wanted = "".join(texts[number] + _END for number in numbers)
        return f"{self.head}{wanted}{self.tail}".encode()

    @property
    def first(self) -> bytes:
        """The catalog with its first entry only."""
        return f"{self.head}{self._first}{self.tail}".encode()

    @property
    def _first(self) -> str:
        return "".join(self.body.partition(_END)[:2])

    def whole(self, short: bytes) -> bytes:
        """A catalog that was made of `first`, with all other entries after that one."""
        head, end, tail = short.partition(_END.encode())
        return b"".join((head, end, self.body[len(self._first) :].encode(), tail))


def excerpt(data: bytes) -> Excerpt | None:
    """A catalog cut up, or None where it has no entry or is not wholly in our own hand."""
    plain = len(data) <= LARGEST and not data.translate(None, _PLAIN)
    text = data.decode() if plain else ""
    head, opened, rest = text.partition(_OPEN)
    body, closed, tail = rest.rpartition(_CLOSE)
    if not (opened and closed and head.startswith(_HEAD)):
        return None
    found = Excerpt(head + opened, body, closed + tail, _rows(body))
    return found if found.rows and _is_plain(found) else None


def _rows(body: str) -> Sequence[Row]:
    """The entries of a text that has nothing else; () if it has."""
    rows: list[Row] = _ROW.findall(body)
    framed = body.startswith(_START) and body.endswith(_END)
    return rows if framed and body.count(_END + _START) == len(rows) - 1 else ()


def _is_plain(found: Excerpt) -> bool:
    """Whether the entries are those of the root, and the only ones, whatever surrounds them."""
    around = (found.head + found.tail).removeprefix(_HEAD)
    if "<!" in around or "<?" in around:  # a comment may hold anything
        return False
    try:
        root = parse(found.first, "the catalog")
    except DocumentError:
        return False
    entries = list(root.iter(f"{CATALOG}entry"))
    held = root.find(f"{CATALOG}entries")
    return len(entries) == 1 and held is not None and list(held) == entries
