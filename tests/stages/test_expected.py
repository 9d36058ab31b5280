"""Files that are known or seem to be missing, on real files."""

import os
from dataclasses import replace

import pytest
from lxml import etree
from makers import MR

from watcher.core.life import Event
from watcher.dicom.markup import XNAT
from watcher.stages.archive import archive
from watcher.stages.expected import stuck
from watcher.stages.rebuild import build

ENHANCED = "1.2.840.10008.5.1.4.1.1.4.1"


def held(bench, path, *, drop="mri", event="file.stuck"):
    """Raise a condition as the intake does."""
    now = bench.parts.clock.now()
    bench.parts.conditions.raise_(event, f"file/{drop}/{path!r}", now, drop=drop, path=path)


def session(bench):
    """A session that took one file from a directory of the drop."""
    bench.put("visit/IM1")
    (outcome,) = bench.file("visit/IM1")
    return bench.parts.ledger.session(outcome.session)


def test_nothing_is_stuck(bench):
    """A session of which nothing is held back expects nothing."""
    assert () == stuck(bench.parts, session(bench))


def test_stuck_beside_its_files(bench):
    """Those of its own directories count, sorted; none of another directory or drop."""
    one = session(bench)
    for path in (b"visit/IM3", b"visit/IM2", b"visit/deeper/IM4", b"IM5", b"other/IM6"):
        held(bench, path)
    held(bench, b"visit/IM7", drop="ct")
    assert ("visit/IM2", "visit/IM3") == stuck(bench.parts, one)


def test_other_conditions_are_none(bench):
    """Only files that did not become whole count, and only while that is so."""
    one = session(bench)
    held(bench, b"visit/IM2", event="drop.degraded")
    assert () == stuck(bench.parts, one)
    held(bench, b"visit/IM3")
    assert ("visit/IM3",) == stuck(bench.parts, one)
    bench.parts.conditions.clear("file.released", f"file/mri/{b'visit/IM3'!r}")
    assert () == stuck(bench.parts, one)


def test_a_condition_that_names_no_file(bench):
    """Where the ledger kept no path, nothing follows, even for files of the drop's top."""
    bench.put("IM1")
    (outcome,) = bench.file("IM1")
    now = bench.parts.clock.now()
    bench.parts.conditions.raise_("file.stuck", "file/mri/x", now, drop="mri")
    assert () == stuck(bench.parts, bench.parts.ledger.session(outcome.session))


def test_any_name(bench):
    """Names of a drop are bytes; what is not UTF-8 is shown, so that it can be written down."""
    one = session(bench)
    held(bench, b"visit/\xe9.dcm")
    held(bench, os.fsencode("visit/\N{GREEK SMALL LETTER ALPHA}"))
    assert ("visit/\\xe9.dcm", "visit/\N{GREEK SMALL LETTER ALPHA}") == stuck(bench.parts, one)


def enhanced(number):
    """One part of four of a concatenation."""
    return {
        "sop_class": ENHANCED,
        "modality": "MR",
        "NumberOfFrames": 2,
        "PixelData": bytes(2 * 16 * 16 * 2),
        "ConcatenationUID": "1.2.3.7",
        "InConcatenationNumber": number,
        "InConcatenationTotalNumber": 4,
    }


SERIES = {
    "a hole": (lambda _: {}, (1, 2, 4), 3, "InstanceNumber 3 (4 files expected)"),
    "a count": (
        lambda _: {"ImagesInAcquisition": 4},
        (1, 2, 3),
        4,
        "InstanceNumber 4; ImagesInAcquisition 4, 3 there (4 files expected)",
    ),
    "positions": (
        lambda n: {
            "NumberOfTemporalPositions": 2,
            "TemporalPositionIdentifier": (n + 1) // 2,
            "sop_class": MR,
        },
        (1, 2, 3),
        4,
        "TemporalPositionIdentifier 2 (4 files expected)",
    ),
    "a concatenation": (enhanced, (1, 2, 4), 3, "InConcatenationNumber 3 (4 files expected)"),
}


def built(bench, words, *numbers):
    """These files of one series, each with its own attributes, dropped, filed and built."""
    names = [f"in{number}" for number in numbers]
    for name, number in zip(names, numbers, strict=True):
        bench.put(name, number, **words(number))
    drop = replace(bench.drop, project="P1")
    (session,) = {outcome.session for outcome in bench.file(*names, drop=drop)}
    return build(bench.parts, session, Event.IDLE)


def suspected(session):
    """What the finding says is missing, by scan."""
    found = [each for each in session.findings if each.code == "maybe-incomplete"]
    return found[0].evidence["missing"] if found else {}


def note(bench):
    """The note of the archived scan."""
    root = etree.parse(f"{bench.shelf()}.xml")
    return root.findtext(f".//{XNAT}scan/{XNAT}note")


@pytest.mark.parametrize("kind", SERIES)
def test_a_file_is_missing_and_then_comes(bench, kind):
    """The finding and the archived scan's note say what is missing; with the last file both go."""
    words, first, last, expected = SERIES[kind]
    session = built(bench, words, *first)
    assert {"1": expected} == suspected(session)
    archive(bench.parts, session.id)
    assert f"Maybe incomplete: {expected}" == note(bench)
    late = built(bench, words, last)
    assert {} == suspected(late)
    archive(bench.parts, late.id)
    assert note(bench) is None


def test_a_whole_series_has_no_note(bench):
    """Nothing is said of a series without holes."""
    session = built(bench, lambda _: {}, 1, 2, 3)
    assert {} == suspected(session)
    archive(bench.parts, session.id)
    assert note(bench) is None


def test_a_note_stays_where_nothing_can_be_told(bench):
    """Of several acquisitions the catalog tells too little: the earlier note stays."""

    def words(number):
        return {"AcquisitionNumber": 1 + (number > 3), "ImagesInAcquisition": 3}

    archive(bench.parts, built(bench, words, 1, 2, 4).id)
    before = note(bench)
    assert "6 files expected" in before
    archive(bench.parts, built(bench, words, 5).id)
    assert note(bench) is not None
    archive(bench.parts, built(bench, words, 3, 6).id)
    assert note(bench) is None


def test_a_stuck_file_is_a_finding(bench):
    """`incomplete` is raised while a file beside those filed is stuck."""
    one = session(bench)
    held(bench, b"visit/IM2")
    done = build(bench.parts, one.id, Event.IDLE)
    found = [each for each in done.findings if each.code == "incomplete"]
    assert [["visit/IM2"]] == [each.incoming["files"] for each in found]
