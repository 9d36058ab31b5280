from hypothesis import given
from hypothesis import strategies as st

from watcher.core import names
from watcher.core.match import meet
from watcher.core.model import (
    Archived,
    ArchivedResource,
    ArchivedScan,
    Entry,
    Header,
    Instance,
    Place,
    Scan,
    ScanResource,
)
from watcher.core.plan import Add, Merge, Suspect, merge, suspects, twins
from watcher.core.tags import TAGS

MR = "1.2.840.10008.5.1.4.1.1.4"
SC = "1.2.840.10008.5.1.4.1.1.7"


def instance(
    sop,
    digest="a" * 32,
    *,
    scan="7",
    series="1.7",
    name=None,
    folder="DICOM",
    cls=MR,
    arrived=0.0,
    number="",
):
    words = {
        "SOPInstanceUID": sop,
        "SOPClassUID": cls,
        "SeriesInstanceUID": series,
        "StudyInstanceUID": "1",
        "InstanceNumber": number,
    }
    header = Header({TAGS[word]: text for word, text in words.items() if text})
    place = Place(scan, folder, name or f"{sop}.dcm")
    return Instance(place, digest, 100, header, arrived)


def scan(*instances, scan_id="7", uid="1.7", modality="MR", xsi_type="xnat:mrScanData"):
    resources = tuple(
        ScanResource(label, held)
        for label in ("DICOM", "secondary")
        if (held := tuple(i for i in instances if i.place.folder == label))
    )
    return Scan(scan_id, uid, xsi_type, modality, resources)


def entry(uid, digest="a" * 32, *, uri=None, cls=MR):
    return Entry(uri or f"{uid}.dcm", uid, digest, 100, cls)


def resource(*entries, label="DICOM", scan="7"):
    return ArchivedResource(
        label, f"SCANS/{scan}/{label}/{names.catalog_name(scan, label)}", entries
    )


def old_scan(*resources, scan_id="7", uid="1.7"):
    return ArchivedScan(scan_id, uid, "xnat:mrScanData", "MR", resources)


def archive(*scans):
    return Archived("P", "L", "S", "W_E1", "1", (), "MRSession", scans)


def plan(scans, archived=None, same_data=None, present=None):
    return merge(scans, archived, same_data=same_data or {}, present=present or {})


def targets(result):
    return [add.target for add in result.adds]


def test_a_first_archiving_adds_everything_under_its_own_name():
    """Without an archived session every scan is new and every file goes to its own place."""
    incoming = scan(instance("1.1", number="3", arrived=1.5))
    result = plan([incoming])
    expected = Entry("1.1.dcm", "1.1", "a" * 32, 100, MR, 3, "1.1.dcm")
    add = result.adds[0]
    path = "SCANS/7/DICOM/1.1.dcm"
    assert add.entry.created == "1970-01-01T00:00:01.500+00:00"
    assert [Add(path, path, "7", "DICOM", incoming.instances[0], expected)] == [
        Add(add.source, add.target, add.scan, add.folder, add.instance, _undated(add.entry))
    ]
    assert (incoming,) == result.new_scans
    assert (result.touched, result.new_resources, result.renamed, result.joined) == ((), (), {}, {})


def _undated(e):
    return Entry(e.uri, e.uid, e.digest, e.size, e.class_uid, e.instance_number, e.id)


def test_a_new_file_of_an_archived_scan_is_added_to_its_catalog():
    """A file the archived scan lacks is added; its scan is touched, and is no new one."""
    result = plan([scan(instance("1.2"))], archive(old_scan(resource(entry("1.1")))))
    assert targets(result) == ["SCANS/7/DICOM/1.2.dcm"]
    assert result.touched == (("7", "DICOM"),)
    assert result.new_scans == ()


def test_an_equal_digest_is_the_same_file_whatever_the_case_of_the_hex():
    """Same SOP UID and digest: dropped, no comparison asked for."""
    incoming = [scan(instance("1.1", "AB" * 16))]
    archived = archive(old_scan(resource(entry("1.1", "ab" * 16))))
    assert suspects(incoming, archived) == ()
    result = plan(incoming, archived)
    assert [same.target for same in result.same] == ["SCANS/7/DICOM/1.1.dcm"]
    assert (result.adds, result.differs, result.touched) == ((), (), ())


def test_other_digests_ask_for_a_comparison_and_its_answer_counts():
    """Other digest, same UIDs: a suspect; the same data set drops it, everything else differs."""
    newcomer = instance("1.1", "b" * 32)
    archived = archive(old_scan(resource(entry("1.1"))))
    incoming = [scan(newcomer)]
    path = "SCANS/7/DICOM/1.1.dcm"
    assert (Suspect(newcomer, entry("1.1"), path),) == suspects(incoming, archived)
    assert [path] == [s.target for s in plan(incoming, archived, {path: True}).same]
    for answers in ({path: False}, {path: None}, {}):
        result = plan(incoming, archived, answers)
        assert [("7", path, None)] == [(d.scan, d.target, d.same_pixels) for d in result.differs]
        assert (result.same, result.adds) == ((), ())


def test_a_missing_digest_or_class_in_the_catalog_is_a_suspect():
    """What the catalog does not say settles nothing."""
    incoming = [scan(instance("1.1", ""))]
    archived = archive(old_scan(resource(entry("1.1", "", cls=""))))
    assert len(suspects(incoming, archived)) == 1


def test_another_class_is_ignored_and_never_compared():
    """Same SOP UID, other SOP class: the newcomer is neither added nor a difference."""
    incoming = [scan(instance("1.1", "b" * 32, cls=SC))]
    archived = archive(old_scan(resource(entry("1.1"))))
    assert suspects(incoming, archived) == ()
    result = plan(incoming, archived, {"SCANS/7/DICOM/1.1.dcm": True})
    assert [other.target for other in result.other_class] == ["SCANS/7/DICOM/1.1.dcm"]
    assert (result.adds, result.same, result.differs) == ((), (), ())


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


def test_a_taken_name_gets_the_digest_then_a_number():
    """Nothing is overwritten: names on disk and in catalogs are avoided, -2 and -3 after all."""
    longer = f"x-{'b' * 8}"
    incoming = [scan(instance("1.1", "b" * 32, name="x.dcm"))]
    archived = archive(old_scan(resource(entry("9.9", uri="x.dcm"))))
    names_there = {f"{longer}.dcm"}
    for expected in (f"{longer}-2.dcm", f"{longer}-3.dcm"):
        result = plan(incoming, archived, present={"SCANS/7/DICOM": frozenset(names_there)})
        assert [f"SCANS/7/DICOM/{expected}"] == targets(result)
        assert expected == result.adds[0].entry.uri
        names_there.add(expected)


def test_the_longest_names_stay_within_255_bytes():
    """A numbered name is cut, not refused by the file system."""
    name = "x" * 251 + ".dcm"
    longer = names.suffixed(name, "b" * 32)
    incoming = [scan(instance("1.1", "b" * 32, name=name))]
    result = plan(incoming, present={"SCANS/7/DICOM": frozenset({name, longer})})
    assert len(result.adds[0].entry.uri) == 255


def test_two_newcomers_of_one_name_both_get_a_place():
    """One name in two prearchive folders that become one archived folder: both are kept."""
    one = instance("1.1", "b" * 32, name="x.dcm", arrived=2)
    other = instance("1.2", "c" * 32, name="x.dcm", scan="old", arrived=1)
    result = plan([scan(one, other)])
    expected = [f"SCANS/7/DICOM/x-{'b' * 8}.dcm", "SCANS/7/DICOM/x.dcm"]
    assert expected == targets(result)
    assert expected == [i.place.path for i in result.new_scans[0].instances]


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
    assert [m.id for m in meet([scan(instance("1.2"))], archived)] == ["7"]


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


def test_a_renamed_id_is_cut_to_its_stub_first():
    """`7-MR1` that is taken becomes `7-MR2`, not `7-MR1-MR1`."""
    archived = archive(old_scan(uid="9.9", scan_id="7-MR1"))
    result = plan([scan(instance("1.1"), scan_id="7-MR1")], archived)
    assert result.renamed == {"1.7": ("7-MR1", "7-MR2")}


def test_the_modality_of_a_renamed_scan_comes_from_its_type_where_it_has_none():
    """XNAT's code: two letters of the xsi type, PE being PT; OT for what is not XNAT's."""
    archived = archive(old_scan(uid="9.9"))
    expected = {"xnat:petScanData": "7-PT1", "xnat:otherDicomScanData": "7-OT1", "my:scan": "7-OT1"}
    for xsi_type, final in expected.items():
        incoming = scan(instance("1.1"), modality="", xsi_type=xsi_type)
        assert [final] == [m.id for m in meet([incoming], archived)]


def test_scan_ids_that_differ_in_case_are_one():
    """On file systems that ignore case, two scans would share a folder."""
    archived = archive(old_scan(uid="9.9", scan_id="ABC"))
    assert [m.id for m in meet([scan(instance("1.1"), scan_id="abc")], archived)] == ["abc-MR1"]


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


def test_an_archived_scan_can_gain_a_resource():
    """A secondary file of a scan archived without such: a new catalog, the old one untouched."""
    archived = archive(old_scan(resource(entry("1.1"))))
    incoming = [scan(instance("1.1"), instance("1.2", cls=SC, folder="secondary"))]
    result = plan(incoming, archived)
    assert targets(result) == ["SCANS/7/secondary/1.2.dcm"]
    assert result.touched == ()
    [(scan_id, gained)] = result.new_resources
    assert (scan_id, [r.label for r in gained.resources]) == ("7", ["secondary"])


def test_one_instance_twice_in_a_session_is_added_once():
    """Equal bytes or an equal data set drop the second; another data set makes it a duplicate."""
    first = instance("1.1", arrived=1)
    again = instance("1.1", name="again.dcm", arrived=2)
    other = instance("1.1", "b" * 32, name="0.dcm", arrived=3)
    incoming = [scan(other, first, again)]
    assert [(first, other, "7")] == [(t.first, t.second, t.scan) for t in twins(incoming)]
    result = plan(incoming)
    assert targets(result) == ["SCANS/7/DICOM/1.1.dcm"]
    assert [again] == [same.instance for same in result.same]
    assert [other] == [twin.second for twin in result.duplicates]
    told = plan(incoming, same_data={"SCANS/7/DICOM/0.dcm": True})
    assert ([again, other], ()) == ([same.instance for same in told.same], told.duplicates)


def test_another_class_twice_in_a_session_is_ignored_too():
    """The first class to come holds the SOP UID, as if it had been archived before."""
    first = instance("1.1", arrived=1)
    other = instance("1.1", "b" * 32, cls=SC, name="o.dcm", arrived=2)
    result = plan([scan(first, other)])
    assert [other] == [o.instance for o in result.other_class]
    assert twins([scan(first, other)]) == ()


def test_the_merge_carries_what_a_person_chose():
    """Overwrite and keep travel with the plan."""
    result = merge([], None, same_data={}, present={}, overwrite=True, keep=True)
    assert Merge(overwrite=True, keep=True) == result


uids = st.sampled_from(["", "1.1", "1.2", "1.3"])
digests = st.sampled_from(["a" * 32, "b" * 32, ""])
classes = st.sampled_from([MR, SC, ""])
labels = st.sampled_from(["DICOM", "secondary"])
ids = st.sampled_from(["7", "7-MR1", "8"])
file_names = st.sampled_from(["x.dcm", "y.dcm", f"x-{'b' * 8}.dcm"])


@st.composite
def incoming_scans(draw):
    scans = []
    for scan_id in draw(st.lists(ids, unique=True, max_size=3)):
        places = st.tuples(labels, file_names)
        files = [
            instance(
                draw(uids),
                draw(digests),
                scan=scan_id,
                name=name,
                folder=label,
                cls=draw(classes),
                arrived=draw(st.integers(0, 3)),
            )
            for label, name in draw(st.lists(places, unique=True, min_size=1, max_size=4))
        ]
        scans.append(scan(*files, scan_id=scan_id, uid=f"s{scan_id}"))
    return scans


@st.composite
def archives(draw):
    scans = []
    for scan_id in draw(st.lists(ids, unique=True, max_size=3)):
        resources = []
        for label in draw(st.lists(labels, unique=True)):
            entries = [
                entry(draw(uids), draw(digests), uri=uri, cls=draw(classes))
                for uri in draw(st.lists(file_names, unique=True))
            ]
            resources.append(resource(*entries, label=label, scan=scan_id))
        uid = draw(st.sampled_from(["", "s7", "s8", f"t{scan_id}"]))
        scans.append(old_scan(*resources, scan_id=scan_id, uid=uid))
    return archive(*scans)


def archived_paths(archived):
    return {
        f"{r.catalog.rpartition('/')[0]}/{e.uri}"
        for s in archived.scans
        for r in s.resources
        for e in r.entries
    }


@given(incoming_scans(), archives())
def test_every_file_has_one_end_and_nothing_is_overwritten(incoming, archived):
    """Each source is on exactly one list; targets of adds are free, distinct and well placed."""
    result = plan(incoming, archived)
    lists = (result.adds, result.same, result.differs, result.other_class)
    ended = [item.source for each in lists for item in each]
    ended += [twin.second.place.path for twin in result.duplicates]
    assert sorted(i.place.path for s in incoming for i in s.instances) == sorted(ended)
    added = set(targets(result))
    assert len(added) == len(result.adds)
    assert set() == added & archived_paths(archived)
    assert all(a.target == f"SCANS/{a.scan}/{a.folder}/{a.entry.uri}" for a in result.adds)


@given(incoming_scans(), archives())
def test_new_scans_never_take_an_id_of_the_archive(incoming, archived):
    """Final IDs of new scans are distinct and free, and their files are the adds."""
    result = plan(incoming, archived)
    final = [new.id for new in result.new_scans]
    assert len(set(final)) == len(final)
    assert set() == set(final) & {old.id for old in archived.scans}
    news = [*result.new_scans, *(gained for _, gained in result.new_resources)]
    placed = {i.place.path for new in news for i in new.instances}
    catalogued = {a.target for a in result.adds if (a.scan, a.folder) in result.touched}
    assert set(targets(result)) == placed | catalogued


@given(incoming_scans(), archives())
def test_only_suspects_wait_for_a_comparison(incoming, archived):
    """With every suspect the same data set, nothing differs; each differing file was a suspect."""
    asked = {s.instance.place.path for s in suspects(incoming, archived)}
    assert asked == {d.source for d in plan(incoming, archived).differs}
    assert plan(incoming, archived, dict.fromkeys(asked, True)).differs == ()


@given(incoming_scans(), archives(), st.randoms())
def test_the_order_of_the_files_decides_nothing(incoming, archived, random):
    """Arrival and place decide: listed otherwise, the same files go to the same targets."""
    shuffled = [
        Scan(
            s.id,
            s.uid,
            s.type,
            s.modality,
            tuple(
                ScanResource(r.label, tuple(random.sample(r.instances, len(r.instances))))
                for r in s.resources
            ),
        )
        for s in incoming
    ]
    expected = {add.source: add.target for add in plan(incoming, archived).adds}
    assert expected == {add.source: add.target for add in plan(shuffled, archived).adds}
