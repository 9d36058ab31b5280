"""Series become scans with IDs that never change again."""

import pytest
from filed import CT, MR, PET, PRIVATE, SC, SR, made
from hypothesis import given, settings
from hypothesis import strategies as st

from watcher.core import sop
from watcher.core.archived import ArchivedScan
from watcher.core.scans import (
    arrange,
    instance_number,
    modality_of,
    scan_order,
    session_type,
    studies,
    study_of,
)


def ids(instances, **known):
    return {scan.uid: scan.id for scan in arrange(instances, known=known)}


def series(*named):
    """One instance for each (series UID, number, modality)."""
    return [made(f"{uid}.1", series=uid, number=n, Modality=m) for uid, n, m in named]


@pytest.mark.parametrize(
    ("named", "known", "expected"),
    [
        ([("1.1", "4", "MR")], {}, {"1.1": "4"}),
        ([("1.1", "", "MR")], {}, {"1.1": "1_1"}),
        ([("1.2", "4", "MR"), ("1.1", "4", "MR")], {}, {"1.1": "4-MR1", "1.2": "4-MR2"}),
        (
            [("1.1", "4", "MR"), ("1.2", "4", "SR"), ("1.3", "4", "MR")],
            {},
            {"1.1": "4-MR1", "1.2": "4-SR1", "1.3": "4-MR2"},
        ),
        ([("1.1", "4", "MR"), ("1.2", "4", "MR")], {"1.2": "4"}, {"1.1": "4-MR1", "1.2": "4"}),
        ([("1.1", "4", "MR")], {"9.9": "4"}, {"1.1": "4-MR1"}),
        ([("1.3", "4", "MR")], {"1.1": "4-MR1", "1.2": "4-MR2"}, {"1.3": "4-MR3"}),
        ([("1.3", "4", "MR")], {"1.1": "7"}, {"1.3": "4"}),
        ([("1.1", "4", "MR"), ("1.2", "4-MR1", "MR"), ("1.3", "4", "MR")], {}, None),
        ([("1.1", "a", "MR"), ("1.2", "A", "MR")], {}, {"1.2": "A", "1.1": "a-MR1"}),
        ([("1.1", "4", "../x"), ("1.2", "4", "")], {}, {"1.1": "4-OT1", "1.2": "4-OT2"}),
    ],
)
def test_ids(named, known, expected):
    """A free number alone; several of one number get its modality and a count; IDs are unique."""
    actual = {scan.uid: scan.id for scan in arrange(series(*named), known=known)}
    if expected is None:
        assert len({name.casefold() for name in actual.values()}) == len(named)
    else:
        assert expected == actual


NUMBERS = st.sampled_from(["", "1", "2", "10", "2-MR1", "2-mr1", "x y", "../..", "1-OT1"])
MODALITIES = st.sampled_from(["", "MR", "CT", "SR", "mr", "*", "A1"])
NAMED = st.dictionaries(
    st.sampled_from([f"1.2.{n}" for n in range(9)]), st.tuples(NUMBERS, MODALITIES), max_size=9
)


@settings(max_examples=200, deadline=None)
@given(NAMED, NAMED)
def test_ids_are_unique_and_stay(before, after):
    """IDs are unique ignoring case, arranging again gives them again, later series change none."""
    first = ids(series(*((uid, *rest) for uid, rest in before.items())))
    together = before | {uid: rest for uid, rest in after.items() if uid not in before}
    instances = series(*((uid, *rest) for uid, rest in together.items()))
    second = ids(instances, **first)
    assert len({name.casefold() for name in second.values()}) == len(together)
    assert first == {uid: second[uid] for uid in first}
    assert second == ids(list(reversed(instances)), **second)


@given(st.permutations(series(("1.1", "4", "MR"), ("1.2", "4", "SR"), ("1.3", "5", "CT"))))
def test_order_of_arrival_does_not_matter(instances):
    """The same files give the same scans, whatever came first."""
    expected = arrange(sorted(instances, key=lambda i: i.header.series), known={})
    assert expected == arrange(instances, known={})


def test_scans_are_sorted_by_value():
    """Numbers count as numbers, other names come after them."""
    found = ["x", "10", "4-MR10", "4", "4-MR2", "2"]
    expected = ["2", "4", "4-MR2", "4-MR10", "10", "x"]
    assert expected == sorted(found, key=scan_order)


def test_instances_are_sorted():
    """By InstanceNumber, then name; those without a number come last."""
    numbers = ["10", "", "9", "x", "-1"]
    instances = [made(f"1.{n}", InstanceNumber=text) for n, text in enumerate(numbers)]
    (scan,) = arrange(instances, known={})
    expected = [-1, 9, 10, None, None]
    assert expected == [instance_number(i) for i in scan.instances]


def test_secondary():
    """What is no primary image lies in `secondary`, but only beside primary images."""
    instances = [made("1.1"), made("1.2", sop=SC), made("1.3", sop=PRIVATE)]
    (scan,) = arrange(instances, known={})
    expected = [("DICOM", ["1.1"]), ("secondary", ["1.2", "1.3"])]
    actual = [(r.label, [i.header.sop_instance for i in r.instances]) for r in scan.resources]
    assert expected == [(label, sorted(uids)) for label, uids in actual]
    assert scan.type == "xnat:mrScanData"


def test_captures_alone_are_primary():
    """A series of nothing but secondary captures is a scan of its own kind."""
    (scan,) = arrange([made(sop=SC)], known={})
    expected = ("xnat:scScanData", ["DICOM"])
    assert expected == (scan.type, [r.label for r in scan.resources])


@pytest.mark.parametrize("sop_class", [MR, SC])
def test_a_filed_secondary_stays(sop_class):
    """Once in `secondary` a file keeps its resource, and its place is not rewritten."""
    instance = made(sop=sop_class, folder="secondary")
    (scan,) = arrange([instance], known={})
    assert [("secondary", (instance,))] == [(r.label, r.instances) for r in scan.resources]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([(MR, "MR")], ("MRSession", "MR")),
        ([(MR, "MR"), (CT, "CT")], ("MRSession", "MR")),
        ([(CT, "CT"), (PET, "PT")], ("PETSession", "PT")),
        ([(MR, "MR"), (PET, "PT"), (CT, "CT")], ("PETMRSession", "PT")),
        ([(SC, "CT")], ("CTSession", "CT")),
        ([(PRIVATE, "MR"), (SC, "OT")], ("MRSession", "MR")),
        ([(SR, "SR")], ("SRSession", "SR")),
        ([(SC, "SC")], ("OtherDicomSession", "SC")),
        ([(PRIVATE, "")], ("OtherDicomSession", "OT")),
        ([(PRIVATE, "ZZ"), (SC, "QQ")], ("OtherDicomSession", "QQ")),
        ([(SC, "PT"), (SC, "MR")], ("PETSession", "PT")),
        ([("1.2.840.10008.5.1.4.1.1.481.3", "RTSTRUCT")], ("RTSession", "RTSTRUCT")),
        ([(PRIVATE, "IVUS")], ("USSession", "IVUS")),
        ([("1.2.840.10008.5.1.4.1.1.13.1.2", "DX")], ("DX3DCraniofacialSession", "DX")),
        ([], ("OtherDicomSession", "OT")),
    ],
)
def test_session_type(found, expected):
    """PET beside MR first, then SOP classes, then modalities (xnat-facts 4.2)."""
    instances = [
        made(f"1.{n}.1", series=f"1.{n}", sop=sop_class, Modality=modality)
        for n, (sop_class, modality) in enumerate(found)
    ]
    scans = arrange(instances, known={})
    assert expected == (session_type(scans), modality_of(scans))
    archived = [ArchivedScan(s.id, s.uid, s.type, s.modality) for s in scans]
    assert expected == (session_type(archived), modality_of(archived))


def test_every_class_leads_somewhere():
    """The tables agree: each SOP class's types have a rank, each session type an element."""
    kinds = sop.KINDS.values()
    assert set() == {kind.scan for kind in kinds} - set(sop.SCAN_ORDER)
    assert set() == {kind.session for kind in kinds} - set(sop.SESSION_ORDER) - {""}
    assert set(sop.SESSION_ORDER) == set(sop.SESSION_ELEMENTS)
    csa = sop.kind("1.3.12.2.1107.5.9.1")
    assert (csa.scan, csa.primary) == (sop.OTHER_SCAN, False)


def test_studies():
    """That of most instances first; a tie goes by the UID; nothing has no study."""
    uids = ["1.9", "1.5", "1.7", "1.5", "1.7"]
    instances = [made(f"1.{n}", StudyInstanceUID=uid) for n, uid in enumerate(uids)]
    expected = ("1.5", "1.7", "1.9")
    assert expected == studies(instances)
    assert expected[0] == study_of(instances)
    assert not study_of([])
