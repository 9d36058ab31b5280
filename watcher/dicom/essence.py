"""What an object is nothing without: the Type 1 element that stands near the end of its kind.

A file cut between two top-level elements is well formed: only its kind tells that its end is
missing. Real files leave much out that the standard requires, and a file that lacks its essence
waits for ever; so this lists only what makes the object empty when it is absent.
"""

import re
from collections.abc import Collection
from functools import lru_cache
from typing import Final, NamedTuple

PIXELS: Final = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
_PIXEL_URL: Final = 0x00287FE0  # PixelDataProviderURL
_STORAGE: Final = "1.2.840.10008.5.1.4.1.1."
_DOSE: Final = "481.2"


class _Essence(NamedTuple):
    """SOP classes below Storage, the elements of which one must be there, what is said if none."""

    classes: re.Pattern[str]
    any_of: frozenset[int]
    text: str


def _essence(classes: str, *any_of: int, text: str) -> _Essence:
    return _Essence(re.compile(classes), frozenset(any_of), text)


# Image storage classes (PS3.4 table B.5-1): PS3.3 C.7.6.3, C.7.6.24, C.7.6.25; by URL in JPIP.
_IMAGE: Final = _essence(
    r"1(\..*)?|2(\..*)?|3(\.1)?|4(\.[134])?|5|6(\.[123])?|7(\..*)?|1[23]\..*|14\.[12]|20|30"
    r"|66\.[47]|77\.1\.[1246](\..*)?|77\.1\.5\.[124568]|128(\.1)?|130|481\.[12]",
    *PIXELS,
    _PIXEL_URL,
    text="the image has no pixel data",
)
# A dose without a grid has no geometry: it is one of histograms or contours (PS3.3 A.18.3).
_NO_GRID: Final = _essence(
    _DOSE, *_IMAGE.any_of, 0x30040050, 0x30060039, text="the dose has neither grid nor histogram"
)
_KINDS: Final = (
    _IMAGE,
    # PS3.3 C.8.14.4 MR Spectroscopy Data
    _essence(r"4\.2", 0x56000020, text="the spectroscopy has no data"),
    # PS3.3 C.10.9 Waveform
    _essence(r"9\..*", 0x54000100, text="there is no waveform"),
    # PS3.3 C.10.4 Displayed Area
    _essence(r"11\.[1-5]", 0x0070005A, text="the presentation state shows nothing"),
    # PS3.3 C.20.2, C.20.3 Spatial and Deformable Registration; C.21.2 Spatial Fiducials
    _essence(r"66\.1", 0x00700308, text="the registration has no transformation"),
    _essence(r"66\.3", 0x00640002, text="the registration has no transformation"),
    _essence(r"66\.2", 0x0070031C, text="there are no fiducials"),
    # PS3.3 C.27.1 Surface Mesh; C.8.33.2 Tractography Results
    _essence(r"66\.5", 0x00660002, text="there are no surfaces"),
    _essence(r"66\.6", 0x00660101, text="there are no tracks"),
    # PS3.3 C.17.3 SR Document Content: reports and key object selections
    _essence(r"88\..*", 0x0040A730, text="the report has no content"),
    # PS3.3 C.24.2 Encapsulated Document
    _essence(r"104\..*", 0x00420011, text="the document is not there"),
    # PS3.3 C.8.8.6 ROI Contour
    _essence(r"481\.3", 0x30060039, text="the structure set has no contours"),
    # PS3.3 C.8.8.14 RT Beams, C.8.8.25 RT Ion Beams, C.8.8.15 RT Brachy Application Setups
    _essence(r"481\.[58]", 0x300A00B0, 0x300A03A2, 0x300A0230, text="the plan has no beams"),
    # PS3.3 C.8.8.21, C.8.8.26, C.8.8.22: sessions of beams, of ion beams, of brachytherapy
    _essence(r"481\.[469]", 0x30080020, 0x30080021, 0x30080110, text="the record has no treatment"),
)

ESSENTIAL: Final = frozenset().union(_NO_GRID.any_of, *(kind.any_of for kind in _KINDS))


def lacking(sop_class: str, has: Collection[int], *, geometry: bool) -> str:
    """What a whole stream of this class lacks, in one sentence; empty where nothing is known.

    `has`: the tags of ESSENTIAL that stand in it; `geometry`: whether it announces pixels. Headers
    of images, without geometry and pixels, are dropped as well: pydicom ships a study of them.
    """
    kind = _kind(sop_class)
    if kind is _IMAGE and not geometry:
        kind = _NO_GRID if sop_class == _STORAGE + _DOSE else None
    return "" if kind is None or not kind.any_of.isdisjoint(has) else kind.text


@lru_cache(maxsize=64)
def _kind(sop_class: str) -> _Essence | None:
    if not sop_class.startswith(_STORAGE):
        return None
    below = sop_class.removeprefix(_STORAGE)
    return next((kind for kind in _KINDS if kind.classes.fullmatch(below)), None)
