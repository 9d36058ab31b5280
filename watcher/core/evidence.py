"""What speaks for and against two sets of images being one examination (spec 10).

Values in, marks and one sentence out. It decides nothing: a person reads it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from watcher.core.archived import Archived
from watcher.core.session import Instance

Mark = Literal["same", "differs", "missing"]

PERSON: Final = ("PatientID", "PatientName", "PatientBirthDate")
KEYWORDS: Final = (*PERSON, "PatientSex", "StudyID", "StationName", "StudyDate")
NEAR: Final = 120  # minutes; a console restarted in mid-examination goes on well within it


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two. None: not known, as for an archived session that was not read."""

    values: Mapping[str, frozenset[str]] = field(default_factory=dict)  # by DICOM keyword
    studies: frozenset[str] = frozenset()
    series: frozenset[str] | None = None
    instances: frozenset[str] | None = None  # SOPInstanceUIDs
    start: datetime | None = None

    @property
    def shown(self) -> dict[str, object]:
        """The values as a person reads them; several with commas between."""
        return {word: ", ".join(sorted(self.values.get(word, ()))) for word in KEYWORDS}


def of_instances(instances: Sequence[Instance]) -> Side:
    """The side that incoming files make."""
    headers = [instance.header for instance in instances]
    starts = (_moment(header["StudyDate"], header["StudyTime"]) for header in headers)
    return Side(
        values={word: _present(header[word] for header in headers) for word in KEYWORDS},
        studies=_present(header.study for header in headers),
        series=_present(header.series for header in headers),
        instances=_present(header.sop_instance for header in headers),
        start=min((start for start in starts if start), default=None),
    )


def of_archived(archived: Archived | None) -> Side:
    """The side of an archived session; its `fields` are named by DICOM keywords."""
    if archived is None:
        return Side()
    # XNAT joins several scanners with commas (xnat-facts 4.3).
    stations = archived.fields.get("StationName", "").split(",")
    values = {word: _present([archived.fields.get(word, "")]) for word in KEYWORDS}
    resources = [resource for scan in archived.scans for resource in scan.resources]
    return Side(
        values={**values, "StationName": _present(stations)},
        studies=_present([archived.study, *archived.accepted]),
        series=_present(scan.uid for scan in archived.scans),
        instances=_present(entry.uid for resource in resources for entry in resource.entries),
        start=_moment(archived.fields.get("StudyDate", ""), archived.fields.get("StudyTime", "")),
    )


def compare(one: Side, other: Side) -> dict[str, object]:
    """The evidence of a finding: a mark for each of `KEYWORDS`, the counts, and `looks_like`."""
    marks = {word: _mark(word, one, other) for word in KEYWORDS}
    minutes = _minutes(one.start, other.start)
    series, images = _shared(one.series, other.series), _shared(one.instances, other.instances)
    return {
        **marks,
        "minutes_apart": minutes,
        "shared_series": series,
        "shared_instances": images,
        "looks_like": looks_like(
            marks,
            minutes=minutes,
            series=series or 0,
            images=images or 0,
            same_study=bool(one.studies & other.studies),
        ),
    }


def looks_like(
    marks: Mapping[str, Mark], *, minutes: int | None, series: int, images: int, same_study: bool
) -> str:
    """One sentence on what the two sides look like."""
    if all(marks[word] == "missing" for word in PERSON):
        return "too little in the headers to tell"
    if any(marks[word] == "differs" for word in PERSON):
        return _other_person(marks, same_study=same_study)
    if same_study:
        return f"same person and study, {_number(series, 'common series')}: {_again(series)}?"
    if images:
        return f"same person, {_number(images, 'common image')}: a copy given a new study UID?"
    if series:
        return f"same person, {_number(series, 'common series')}: one study resent in part?"
    return _two_visits(marks, minutes)


def _again(series: int) -> str:
    return "sent again or in parts" if series else "the rest of one examination"


def _other_person(marks: Mapping[str, Mark], *, same_study: bool) -> str:
    alike = [word for word in PERSON if marks[word] == "same"]
    if alike:
        unlike = [word for word in PERSON if marks[word] == "differs"]
        return f"{_and(alike)} the same, {_and(unlike)} not: one person entered in two ways?"
    if same_study:
        return "same study, other person: corrected or pseudonymised, and sent again?"
    return "other person: two people under one label?"


def _two_visits(marks: Mapping[str, Mark], minutes: int | None) -> str:
    scanner = {"same": " and scanner", "differs": ", other scanner", "missing": ""}
    who = f"same person{scanner[marks['StationName']]}"
    if minutes is None:
        return f"{who}, no common series, times unknown"
    if minutes > NEAR:
        return f"{who}, {_span(minutes)} apart: another visit, wanting a label of its own?"
    guess = "two examinations of one visit"
    if marks["StationName"] != "differs":
        guess = "one examination cut in two"
    return f"{who}, {_span(minutes)} apart, no common series: {guess}?"


def _and(words: Sequence[str]) -> str:
    return " and ".join(words)


def _number(n: int, what: str) -> str:
    return f"{n or 'no'} {what}{'s' if n > 1 and not what.endswith('s') else ''}"


def _span(minutes: int) -> str:
    if minutes <= NEAR:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // 1440} days"


def _present(values: Iterable[str]) -> frozenset[str]:
    return frozenset(text for value in values if (text := value.strip()))


def _mark(word: str, one: Side, other: Side) -> Mark:
    mine = {_plain(word, value) for value in one.values.get(word, ())}
    theirs = {_plain(word, value) for value in other.values.get(word, ())}
    if not mine or not theirs:
        return "missing"
    # Several scanners may serve one study; of a person there is one of each.
    agree = mine & theirs if word == "StationName" else mine == theirs
    return "same" if agree else "differs"


def _plain(word: str, value: str) -> str:
    """A value as it compares: XML writes dates with dashes, names may end in empty components."""
    if word.endswith("Date"):
        return value.replace("-", "")
    if word == "PatientName":
        return re.sub(r"[\^= ]+$", "", value).casefold()
    return value


def _moment(day: str, time: str) -> datetime | None:
    """StudyDate and StudyTime (DA and TM, PS3.5 6.2; or xs:date and xs:time); None: not both."""
    digits = re.sub(r"[-:]", "", f"{day}-{time}".partition(".")[0])
    if not re.fullmatch(r"[0-9]{12}([0-9]{2})?", digits):
        return None
    try:
        return datetime.strptime(f"{digits:0<14}", "%Y%m%d%H%M%S")  # noqa: DTZ007  DICOM's own, zoneless
    except ValueError:  # a mistyped or hostile date is as good as none
        return None


def _minutes(one: datetime | None, other: datetime | None) -> int | None:
    return round(abs(one - other).total_seconds() / 60) if one and other else None


def _shared(one: frozenset[str] | None, other: frozenset[str] | None) -> int | None:
    return None if one is None or other is None else len(one & other)
