"""SOP classes as XNAT types: which scan and session an object makes, and what leads.

The tables follow XNAT's `sop/SOPModel` (xnat-facts 4.2, 4.6); classes it does not name stand with
their nearest kin. Every type exists in `xnat.xsd`. UIDs: DICOM PS3.6, annex A.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

OTHER_MODALITY: Final = "OT"
OTHER_SCAN: Final = "xnat:otherDicomScanData"
OTHER_SESSION: Final = "OtherDicomSession"
PETMR_SESSION: Final = "PETMRSession"

_ROOT: Final = "1.2.840.10008.5.1.4.1.1."


@dataclass(frozen=True, slots=True)
class Kind:
    """What one SOP class makes."""

    scan: str  # xsi:type, "xnat:mrScanData"
    session: str  # "mr"; empty: the class says nothing, the modality decides
    primary: bool  # an acquired image or signal (XNAT's primary-sops list)


UNKNOWN: Final = Kind(OTHER_SCAN, "", primary=False)

# scan type, session type, primary, UIDs below _ROOT
_FAMILIES: Final[Sequence[tuple[str, str, bool, str]]] = (
    ("mr", "mr", True, "4 4.1 4.3 4.4"),
    ("mrs", "mr", True, "4.2"),
    ("ct", "ct", True, "2 2.1 2.2"),
    ("pet", "pet", True, "128 128.1 130"),
    ("nm", "nm", True, "5 20"),
    ("us", "us", True, "3 3.1 6 6.1 6.2 6.3"),
    ("cr", "cr", True, "1"),
    ("dx", "dx", True, "1.1 1.1.1"),
    ("mg", "mg", True, "1.2 1.2.1 13.1.3 13.1.4 13.1.5"),
    ("io", "io", True, "1.3 1.3.1"),
    ("xa", "xa", True, "12.1 12.1.1 12.3"),
    ("xa3D", "xa", True, "13.1.1"),
    ("dx3DCraniofacial", "dx3DCraniofacial", True, "13.1.2"),
    ("rf", "rf", True, "12.2 12.2.1"),
    ("opt", "opt", True, "14.1 14.2 77.1.5.4 77.1.5.7 77.1.5.8"),
    ("op", "op", True, "77.1.5.1 77.1.5.2 77.1.5.5 77.1.5.6 81.1 82.1"),
    ("op", "op", False, "77.1.5.3 78.1 78.2 78.3 78.4 78.5 78.6 78.7 78.8 80.1"),
    ("es", "es", True, "77.1.1"),
    ("esv", "esv", True, "77.1.1.1"),
    ("gm", "gm", True, "77.1.2 77.1.8 77.1.9"),
    ("gmv", "gmv", True, "77.1.2.1"),
    ("sm", "sm", True, "77.1.3 77.1.6"),
    ("xc", "xc", True, "77.1 77.2 77.1.4 77.1.7"),
    ("xcv", "xcv", True, "77.1.4.1"),
    ("rtImage", "rt", True, "481.1 481.2 481.23 481.24"),
    ("rtImage", "rt", False, "481.3 481.4 481.5 481.6 481.7 481.8 481.9 481.10 481.11 481.12"),
    ("rtImage", "rt", False, "481.13 481.14 481.15 481.16 481.17 481.18 481.19 481.20"),
    ("rtImage", "rt", False, "481.21 481.22 481.25"),
    ("ecg", "ecg", True, "9.1.1 9.1.2 9.1.3 9.1.4"),
    ("hd", "hd", True, "9.2.1 9.5.1"),
    ("eps", "eps", True, "9.3.1"),
    ("eeg", "eeg", True, "9.7.1 9.7.4"),
    ("voiceAudio", "", False, "9.4.1 9.4.2"),
    ("otherDicom", "", True, "9.6.1 9.6.2 9.7.2 9.7.3 9.8.1"),
    ("sc", "", False, "7 7.1 7.2 7.3 7.4"),
    ("seg", "", False, "66.4 66.5"),
    ("sr", "sr", False, "88.1 88.2 88.3 88.4 88.11 88.22 88.33 88.34 88.35 88.40 88.50 88.65"),
    ("sr", "sr", False, "88.67 88.68 88.69 88.70 88.71 88.72 88.73 88.74 88.75 88.76 88.77"),
    ("sr", "sr", False, "79.1"),
    # overlays, curves, presentation states, key objects, raw data, registrations, maps, documents
    ("otherDicom", "", False, "8 9 9.1 10 11 129 88.59 66 66.1 66.2 66.3 66.6 67 30 68.1 68.2"),
    ("otherDicom", "", False, "11.1 11.2 11.3 11.4 11.5 11.6 11.7 11.8 11.9 11.10 11.11 11.12"),
    ("otherDicom", "", False, "90.1 91.1 104.1 104.2 104.3 104.4 104.5 131"),
    ("otherDicom", "", False, "200.1 200.2 200.3 200.7 200.8 201.1"),
)


def _kinds() -> Mapping[str, Kind]:
    kinds = {
        _ROOT + tail: Kind(f"xnat:{scan}ScanData", session, primary)
        for scan, session, primary, tails in _FAMILIES
        for tail in tails.split()
    }
    kinds["1.3.12.2.1107.5.9.1"] = UNKNOWN  # Siemens CSA Non-Image Storage
    return MappingProxyType(kinds)


KINDS: Final = _kinds()


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# Session types, the leading one first (xnat-facts 4.2); the last row is not in XNAT's list.
SESSION_ORDER: Final = _words(
    "pet mr ct xa us rt cr opt mg dx nm sr sm gm rf es rg ecg eeg "
    "io dx3DCraniofacial esv gmv xc xcv op hd eps"
)
SESSION_ELEMENTS: Final[Mapping[str, str]] = MappingProxyType(
    {name: f"{name.upper()}Session" for name in SESSION_ORDER}
    | {"dx3DCraniofacial": "DX3DCraniofacialSession"}
)

# Scan types of one series, the leading one first.
SCAN_ORDER: Final = tuple(
    f"xnat:{name}ScanData"
    for name in _words(
        "pet mr ct xa xa3D us rtImage cr opt mg dx nm sm gm rf es rg ecg eeg io "
        "dx3DCraniofacial esv gmv xc xcv op hd eps mrs sc seg sr voiceAudio otherDicom"
    )
)

# Modality (0008,0060), the leading one first (xnat-facts 4.2); IO to RTRECORD are not in its list.
MODALITY_ORDER: Final = _words(
    "PT MR CT XA US RT CR OPT MG DX NM EEG ECG EMG EOG IVUS SM GM RF ES XC RG DMS CFM PA RESP "
    "POS OBJ IO OP HD EPS RTIMAGE RTDOSE RTPLAN RTSTRUCT RTRECORD OT SR SC ANN"
)

_SESSION_OF_MODALITY: Final[Mapping[str, str]] = MappingProxyType(
    {
        **{name.upper(): name for name in SESSION_ORDER if name.upper() in MODALITY_ORDER},
        "PT": "pet",
        "IVUS": "us",
        **dict.fromkeys(("RTIMAGE", "RTDOSE", "RTPLAN", "RTSTRUCT", "RTRECORD"), "rt"),
    }
)

_SESSION_OF_SCAN: Final[Mapping[str, str]] = MappingProxyType(
    {f"xnat:{scan}ScanData": session for scan, session, _, _ in _FAMILIES}
    | {
        "xnat:rgScanData": "rg"
    }  # radiographic imaging by film digitiser has no SOP class of its own
)


def kind(sop_class: str) -> Kind:
    """What a SOP class makes; `UNKNOWN` for a private or future one."""
    return KINDS.get(sop_class, UNKNOWN)


def lead(found: Iterable[str], order: Sequence[str], default: str) -> str:
    """The value that stands first in `order`; those not in it come last, in their own order."""
    ranks = {value: rank for rank, value in enumerate(order)}
    present = {value for value in found if value}
    return min(present, key=lambda value: (ranks.get(value, len(order)), value), default=default)


def element(types: Collection[str], modalities: Collection[str]) -> str:
    """The session's root element, without prefix, for the xsi:types and modalities of its scans.

    PET beside MR is PETMR; else the SOP classes decide, then the modalities (xnat-facts 4.2).
    """
    kinds = {_SESSION_OF_SCAN.get(name, "") for name in types}
    if {"pet", "mr"} <= kinds:
        return PETMR_SESSION
    found = lead(kinds, SESSION_ORDER, "") or _by_modality(modalities)
    return SESSION_ELEMENTS.get(found, OTHER_SESSION)


def _by_modality(modalities: Collection[str]) -> str:
    known = {name for name in modalities if name in _SESSION_OF_MODALITY}
    return _SESSION_OF_MODALITY.get(lead(known, MODALITY_ORDER, ""), "")
