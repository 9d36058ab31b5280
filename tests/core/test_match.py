"""Which incoming scan and file meets which archived one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from incoming import MR, SC, archive, entry, instance, old_scan, plan, resource, scan, targets

from watcher.core.match import OTHER_CLASS, SAME, SUSPECT, Suspect, Twin, meet, relation
from watcher.core.plan import suspects, twins

PATH = "SCANS/7/DICOM/1.1.dcm"


def final_ids(scans, archived, **more):
    return [meeting.id for meeting in meet(scans, archived, **more)]


# -- scans -----------------------------------------------------------------------------------------


def test_a_series_known_under_another_id_joins_the_archived_scan():
    """The UID decides, not the number; files go to the archived scan's folder."""
    archived = archive(old_scan(resource(entry("1.1"), scan="9"), scan_id="9"))
    result = plan([scan(instance("1.2"))], archived)
    assert result.joined == {"1.7": ("7", "9")}
    assert result.renamed == {}
    assert targets(result) == ["SCANS/9/DICOM/1.2.dcm"]
    assert result.touched == (("9", "DICOM"),)


def test_a_series_archived_twice_is_met_under_its_own_id():
    """An XNAT may have stored one series under two IDs: the equal ID is preferred."""
    archived = archive(old_scan(scan_id="9"), old_scan(scan_id="7"))
    assert final_ids([scan(instance("1.2"))], archived) == ["7"]


def test_a_uid_outweighs_an_equal_id():
    """Where one archived scan has the series and another, without UID, its number: the series."""
    archived = archive(old_scan(uid=""), old_scan(scan_id="9"))
    assert final_ids([scan(instance("1.2"))], archived) == ["9"]


def test_a_number_taken_by_another_series_renames_the_newcomer():
    """`N-MODi`, the first free, avoiding the archive's IDs and the other newcomers'."""
    archived = archive(old_scan(uid="9.9"), old_scan(uid="9.8", scan_id="7-MR1"))
    incoming = [
        scan(instance("1.1")),
        scan(instance("2.1", series="2.7", scan="7-MR2"), scan_id="7-MR2", uid="2.7"),
    ]
    result = plan(incoming, archived)
    assert result.renamed == {"1.7": ("7", "7-MR3")}
    assert targets(result) == ["SCANS/7-MR3/DICOM/1.1.dcm", "SCANS/7-MR2/DICOM/2.1.dcm"]
    assert [new.id for new in result.new_scans] == ["7-MR3", "7-MR2"]


def test_the_id_of_a_scan_that_stays_is_given_to_no_other():
    """A held scan keeps its number: what goes in without it is named as it would be with it."""
    archived = archive(old_scan(uid="9.9"))
    going = scan(instance("1.1"))
    assert final_ids([going], archived) == ["7-MR1"]
    assert final_ids([going], archived, staying=["7-mr1"]) == ["7-MR2"]
    assert plan([going], archived, staying=["7-MR1"]).renamed == {"1.7": ("7", "7-MR2")}


def test_a_renamed_id_is_cut_to_its_stub_first():
    """`7-MR1` that is taken becomes `7-MR2`, not `7-MR1-MR1`."""
    archived = archive(old_scan(uid="9.9", scan_id="7-MR1"))
    result = plan([scan(instance("1.1"), scan_id="7-MR1")], archived)
    assert result.renamed == {"1.7": ("7-MR1", "7-MR2")}


@pytest.mark.parametrize(
    ("xsi_type", "final"),
    [
        ("xnat:petScanData", "7-PT1"),
        ("xnat:otherDicomScanData", "7-OT1"),
        ("my:scan", "7-OT1"),
        ("xnat:", "7-OT1"),
    ],
)
def test_the_modality_of_a_renamed_scan_comes_from_its_type_where_it_has_none(xsi_type, final):
    """XNAT's code: two letters of the xsi type, PE being PT; OT for what is not XNAT's."""
    incoming = scan(instance("1.1"), modality="", xsi_type=xsi_type)
    assert [final] == final_ids([incoming], archive(old_scan(uid="9.9")))


def test_scan_ids_that_differ_in_case_are_one():
    """On file systems that ignore case, two scans would share a folder."""
    archived = archive(old_scan(uid="9.9", scan_id="ABC"))
    assert final_ids([scan(instance("1.1"), scan_id="abc")], archived) == ["abc-MR1"]


def test_a_side_without_series_uid_is_met_by_id():
    """A blank series UID on either side leaves the ID to decide."""
    known = archive(old_scan(resource(entry("1.1")), uid=""))
    assert len(plan([scan(instance("1.1"))], known).same) == 1
    unknown = archive(old_scan(resource(entry("1.1"))))
    assert len(plan([scan(instance("1.1", series=""), uid="")], unknown).same) == 1
    other = archive(old_scan(resource(entry("1.1"), scan="8"), uid="", scan_id="8"))
    assert len(plan([scan(instance("1.1"))], other).same) == 0
    both_blank = [scan(instance("1.1", series=""), uid="")]
    assert [m.old for m in meet(both_blank, other)] == [None]


numbers = st.sampled_from(["7", "7-MR1", "7-MR2", "8"])


@given(st.lists(numbers, unique=True, min_size=1), st.sets(numbers), st.sets(numbers))
def test_scans_that_go_in_by_parts_have_names_of_their_own(incoming, there, held):
    """Final IDs are nobody else's, never change later, and are those of going in together."""
    archived = archive(*(old_scan(uid=f"9.{n}", scan_id=n) for n in sorted(there)))
    scans = [scan(instance(f"1.{n}"), scan_id=n, uid=f"s{n}") for n in incoming]
    staying = held & set(incoming)
    going = [each for each in scans if each.id not in staying]
    at_once = {m.scan.uid: m.id for m in meet(scans, archived)}
    in_part = {m.scan.uid: m.id for m in meet(going, archived, staying=staying)}
    grown = [old_scan(uid=uid, scan_id=final) for uid, final in in_part.items()]
    later = {m.scan.uid: m.id for m in meet(scans, archive(*archived.scans, *grown))}
    assert in_part == {uid: later[uid] for uid in in_part}
    assert len({*at_once.values(), *there}) == len(scans) + len(there)
    assert len({*later.values(), *there}) == len(scans) + len(there)
    assert set() == set(in_part.values()) & staying
    if len(there & set(incoming)) < 2:  # else the order in which they are renamed counts
        assert at_once == later


# -- files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("digest", "cls", "expected"),
    [
        ("A" * 32, SC, SAME),
        ("b" * 32, SC, OTHER_CLASS),
        ("b" * 32, MR, SUSPECT),
        ("b" * 32, "", SUSPECT),
        ("", MR, SUSPECT),
        ("", SC, OTHER_CLASS),
    ],
)
def test_digest_then_class_say_how_two_files_stand(digest, cls, expected):
    """Equal bytes are the same whatever else is said; what a catalog leaves out settles nothing."""
    assert expected == relation(instance("1.1"), entry("1.1", digest, cls=cls))


def test_no_digest_on_either_side_is_no_equal_digest():
    """Two that say nothing of their bytes are not known to be the same."""
    assert relation(instance("1.1", ""), entry("1.1", "")) == SUSPECT


def test_only_what_digests_leave_open_is_a_suspect():
    """Same UIDs, other digest: compared. The same digest or another class: no need to."""
    newcomer = instance("1.1", "b" * 32)
    archived = archive(old_scan(resource(entry("1.1"))))
    assert (Suspect(newcomer, entry("1.1"), PATH),) == suspects([scan(newcomer)], archived)
    assert suspects([scan(instance("1.1", "A" * 32))], archived) == ()
    assert suspects([scan(instance("1.1", "b" * 32, cls=SC))], archived) == ()
    bare = archive(old_scan(resource(entry("1.1", "", cls=""))))
    assert len(suspects([scan(instance("1.1", ""))], bare)) == 1
    assert suspects([scan(newcomer)], None) == ()


def test_of_several_namesakes_the_nearest_counts():
    """An archive that lists a SOP UID twice: the equal one is met, then the one of its class."""
    double = resource(
        entry("1.1", "c" * 32, uri="x.dcm", cls=SC),
        entry("1.1", "b" * 32, uri="y.dcm"),
        entry("1.1", "a" * 32, uri="z.dcm"),
    )
    archived = archive(old_scan(double))
    result = plan([scan(instance("1.1"))], archived)
    assert [s.target for s in result.same] == ["SCANS/7/DICOM/z.dcm"]
    result = plan([scan(instance("1.1", "f" * 32, cls=SC))], archived)
    assert [d.target for d in result.differs] == ["SCANS/7/DICOM/x.dcm"]


def test_once_archived_a_file_keeps_its_resource():
    """A file archived as secondary is met there though it comes as DICOM."""
    archived = archive(old_scan(resource(), resource(entry("1.1"), label="secondary")))
    result = plan([scan(instance("1.1"))], archived)
    assert [same.target for same in result.same] == ["SCANS/7/secondary/1.1.dcm"]


def test_blank_uids_never_match_each_other():
    """A file or entry without a SOP UID is met by its name only, in its own resource."""
    nameless = instance("", "b" * 32, name="x.dcm")
    other_name = archive(old_scan(resource(entry("", uri="y.dcm"))))
    assert targets(plan([scan(nameless)], other_name)) == ["SCANS/7/DICOM/x.dcm"]
    same_name = archive(old_scan(resource(entry("", uri="x.dcm"))))
    assert len(suspects([scan(nameless)], same_name)) == 1
    in_other_resource = archive(old_scan(resource(entry("", uri="x.dcm"), label="secondary")))
    assert suspects([scan(nameless)], in_other_resource) == ()
    two = scan(nameless, instance("", "c" * 32, name="z.dcm"))
    assert len(plan([two]).adds) == 2
    assert twins([two]) == ()


def test_an_entry_without_uid_is_met_by_name():
    """The URI decides where the catalog gives no SOP UID, and only there."""
    incoming = [scan(instance("1.1", "b" * 32, name="x.dcm"))]
    assert len(suspects(incoming, archive(old_scan(resource(entry("", uri="x.dcm")))))) == 1
    named_alike = archive(old_scan(resource(entry("9.9", uri="x.dcm"))))
    assert suspects(incoming, named_alike) == ()
    assert [f"SCANS/7/DICOM/x-{'b' * 8}.dcm"] == targets(plan(incoming, named_alike))


def test_a_name_that_stands_twice_hides_no_entry_without_uid():
    """Of two files with one name in a nested set, the one whose UID nobody knows is met."""
    nested = entry("9.9", uri="sub/x.dcm")
    incoming = [scan(instance("1.1", "b" * 32, name="x.dcm"))]
    for entries in ((entry("", uri="x.dcm"), nested), (nested, entry("", uri="x.dcm"))):
        found = suspects(incoming, archive(old_scan(resource(*entries))))
        assert [each.path for each in found] == ["SCANS/7/DICOM/x.dcm"]


def test_an_entry_whose_uri_is_no_plain_name_is_met_where_its_file_lies():
    """The path found for an absolute or encoded URI counts, in its name too."""
    far = entry("", uri="file:/data/x%20y.dcm", path="SCANS/7/DICOM/x y.dcm")
    archived = archive(old_scan(resource(far)))
    incoming = [scan(instance("1.1", "b" * 32, name="x y.dcm"))]
    assert [each.path for each in suspects(incoming, archived)] == ["SCANS/7/DICOM/x y.dcm"]
    known = archive(old_scan(resource(entry("1.1", uri="/a/b", path="SCANS/7/DICOM/b"))))
    assert [s.target for s in plan([scan(instance("1.1"))], known).same] == ["SCANS/7/DICOM/b"]


def test_twins_are_all_later_files_of_one_identity_with_other_bytes():
    """Each is told against what came first, in any scan; copies and other classes are none."""
    first = instance("1.1", arrived=1)
    copy = instance("1.1", "A" * 32, name="copy.dcm", arrived=2)
    other = instance("1.1", "b" * 32, name="0.dcm", arrived=3)
    far = instance("1.1", "c" * 32, scan="8", series="1.8", arrived=4)
    strange = instance("1.1", "d" * 32, cls=SC, name="s.dcm", arrived=5)
    scans = [scan(other, strange, first, copy), scan(far, scan_id="8", uid="1.8")]
    assert (Twin(first, other, "7"), Twin(first, far, "8")) == twins(scans)


def test_of_what_arrived_at_once_the_path_says_which_came_first():
    """The same files give the same pairs, however they are listed."""
    one, other = instance("1.1", name="a.dcm"), instance("1.1", "b" * 32, name="b.dcm")
    for listed in ((one, other), (other, one)):
        assert (Twin(one, other, "7"),) == twins([scan(*listed)])
