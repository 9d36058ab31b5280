"""Patient data that nobody else's text holds, and the search for it in whatever comes out.

A planted value is looked for in every form it may have taken on its way: its parts, other cases,
with and without separators, as a label, escaped for XML, JSON, URLs and by Python, in any encoding.
"""

import html
import json
import re
import unicodedata
from datetime import date, timedelta
from functools import cache
from itertools import product
from urllib.parse import quote

from watcher.core.names import label

_SYLLABLES = [a + b for a, b in product("bdfgklmnprstvz", "aeiou")]
_ACCENTS = str.maketrans({"a": "ä", "e": "é", "i": "ï", "o": "ø", "u": "ů"})
_GREEK = str.maketrans("bdfgklmnprstvzaeiou", "βδφγκλμνπρστωζαεηοθ")
_CYRILLIC = str.maketrans("bdfgklmnprstvzaeiou", "бдфгклмнпрствзаеиоу")
_SHORTEST = 4  # letters of a part that can't be met by chance
_NUMBER = 7  # digits, likewise
_NORMAL = ("NFC", "NFD")
_BIRTHS = ("%Y%m%d", "%Y-%m-%d", "%Y.%m.%d", "%Y/%m/%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y")


class Planted:
    """The values, by where they were put. Each is made once, and none looks like another."""

    def __init__(self):
        self.values = {}
        self._made = 0

    def _next(self):
        self._made += 1
        return self._made

    def _put(self, value, where):
        assert value not in self.values
        self.values[value] = where
        return value

    def _word(self):
        """Some letters: in every fifth word with accents, or in another script, or ideograms."""
        made = number = self._next()
        text = "qu"
        for _ in range(3):
            number, index = divmod(number * 31 + 17, len(_SYLLABLES))
            text += _SYLLABLES[index]
            number += made
        kinds = {1: _ACCENTS, 2: _GREEK, 3: _CYRILLIC}
        if made % 5 == 4:
            return chr(0x5000 + made) + chr(0x6100 + made)  # twenty thousand of them follow
        return (text + _SYLLABLES[made % 70]).translate(kinds.get(made % 5, {})).capitalize()

    def ascii(self, where):
        """A single word that can be a label as it is."""
        number = self._next()
        text = ""
        for _ in range(3):
            number, index = divmod(number, len(_SYLLABLES))
            text += _SYLLABLES[index]
        return self._put(f"Xq{text}wy", where)

    def word(self, where):
        """A single word."""
        return self._put(self._word(), where)

    def name(self, where):
        """A person's name, as PS3.5 6.2 writes it; some with ideographic or phonetic groups."""
        parts = [self._word() for _ in range(3)]
        text = "^".join(parts[:2])
        number = self._next()
        if number % 3 == 0:
            text = f"{text}^{parts[2]}^Dr."
        if number % 4 == 0:
            text = f"{text}={self._word()}^{self._word()}"
        return self._put(text, where)

    def id(self, where):
        """A number with letters, as hospitals give them.

        Of nine digits, and no time of day: shorter ones are in moments and sizes by chance.
        """
        number = self._next()
        return self._put(f"K{number:02}Q-{300_000_000 + number * 79_190_023 % 690_000_000}", where)

    def born(self, where):
        """A birth date, eight digits; of the last century: today's is in every line of a log."""
        day = date(1911, 1, 1) + timedelta(days=self._next() * 37 % 29_000)
        return self._put(f"{day:%Y%m%d}", where)

    def path(self, where, ending=""):
        """The name of a file or folder, with blanks."""
        return self._put(f"{self._word()} {self._word()} {self._next()}{ending}", where)

    def take(self, value, where):
        """A value that was made elsewhere."""
        return self._put(value, where)


def _parts(value):
    yield value
    words = [each for each in re.split(r"[\^=_\s,/\\.;:()-]+", value) if each]
    for word in words:
        if len(word) >= (_NUMBER if word.isdigit() else _SHORTEST) or not word.isascii():
            yield word
    for glue in ("", " ", "_", ", ", "-", "^", "/") if 1 < len(words) < 6 else ():
        yield glue.join(words)
        yield glue.join(reversed(words))


def _dates(value):
    born = date(int(value[:4]), int(value[4:6]), int(value[6:]))
    return [f"{born:{form}}" for form in _BIRTHS]


def _written(value):
    """A value as people and programs write it."""
    is_date = re.fullmatch(r"\d{8}", value) is not None
    for part in _dates(value) if is_date else [*_parts(value)]:
        yield part
        made = re.sub(r"-[0-9a-f]{6}$", "", label(part))
        if len(re.findall(r"\w", made.replace("_", ""))) >= _SHORTEST:
            yield made
        if "-" in part and not is_date:
            yield part.replace("-", "")


def _encoded(text):
    yield text.encode("utf-8", "surrogateescape")
    yield from (text.encode(each, "surrogatepass") for each in ("utf-16-le", "utf-16-be"))
    for encoding in ("latin-1", "cp1252", "shift_jis", "iso8859-7", "iso8859-5"):
        try:
            raw = text.encode(encoding)
        except UnicodeEncodeError:
            continue
        yield raw
        yield from (quote(raw, safe=safe).encode() for safe in ("", "/ "))
        yield repr(raw)[2:-1].encode()
        yield raw.decode("utf-8", "surrogateescape").encode("ascii", "backslashreplace")


def _escaped(text):
    yield text
    yield html.escape(text)
    yield json.dumps(text)[1:-1]
    yield text.encode("unicode_escape").decode()
    yield repr(text)[1:-1]
    yield repr(text.encode("utf-8", "surrogateescape"))[2:-1]
    yield "".join(each if ord(each) < 128 else f"&#{ord(each)};" for each in text)
    yield "".join(each if ord(each) < 128 else f"&#x{ord(each):x};" for each in text)
    for safe in ("", "/", "/ ^"):
        yield quote(text, safe=safe, errors="surrogateescape")
    yield quote(text, safe="").replace("%20", "+")


@cache
def forms(value):
    """Every form of a value, as bytes in lower case."""
    found = set()
    for written in set(_written(value)):
        cases = {written, written.lower(), written.upper(), written.title(), written.casefold()}
        for shape in {unicodedata.normalize(form, each) for each in cases for form in _NORMAL}:
            found.update(raw.lower() for raw in _encoded(shape) if not _is_chance(raw, shape))
            found.update(
                each.lower().encode("utf-8", "surrogateescape") for each in _escaped(shape)
            )
    return tuple(each for each in found if len(each) >= _SHORTEST)


def _is_chance(raw, text):
    """Whether the bytes of two ideograms look like four letters of ours."""
    return raw.isascii() and not text.isascii() and len(raw) < 2 * _SHORTEST


def _readings(data, seen):
    """An output as it is, and as whoever parses it sees it; without the lines that were `seen`.

    Lines of JSON are read, texts in them too, and what is escaped for a page is taken back.
    """
    lines = dict.fromkeys(each for each in data.splitlines() if each not in seen)
    seen.update(lines)
    told = []
    for line in lines:
        start = line.find(b"{")
        try:
            found = json.loads(line[start:]) if 0 <= start < 4 else None
        except ValueError:
            found = None
        if found is not None:
            told.append(json.dumps(found, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    yield b"\n".join(lines).lower()
    yield b"\n".join(dict.fromkeys(told)).lower()
    if b"<html" in data:
        page = html.unescape(b"\n".join(lines).decode("utf-8", "surrogateescape"))
        yield page.lower().encode("utf-8", "surrogateescape")


def leaks(planted, outputs):
    """What of the values is in the outputs: (where it was put, value, form, output, about it)."""
    found, seen = [], set()
    for name, data in outputs.items():
        for reading in filter(None, _readings(data, seen)):
            grams = {reading[at : at + _SHORTEST] for at in range(len(reading))}
            for value, where in planted.values.items():
                hits = [each for each in forms(value) if _may_be(each, grams) and each in reading]
                if hits:
                    at = reading.find(longest := max(hits, key=len))
                    about = reading[max(0, at - 200) : at + 200].decode("utf-8", "replace")
                    found.append((where, value, longest, name, about))
    return found


def _may_be(form, grams):
    """Whether some of its pieces are there: a look that costs nothing, before the one that does."""
    return form[:_SHORTEST] in grams and form[-_SHORTEST:] in grams
