"""What becomes of every file when a session is archived."""

from dataclasses import replace

import pytest
from incoming import (
    MR,
    SC,
    archive,
    entry,
    instance,
    old_scan,
    plan,
    resource,
    scan,
    targets,
)

from watcher.core import names
from watcher.core.archived import Entry
from watcher.core.match import Comparison
from watcher.core.plan import Add, Aside, Duplicate, Merge, OtherClass, Same, merge, suspects

SAME = Comparison(same=True)
OTHER = Comparison(same=False, same_pixels=True, tags=("PatientName",))
PATH = "SCANS/7/DICOM/1.1.dcm"
B = "b" * 8


def differing(*, arrived=0.0, **more):
    return instance("1.1", "b" * 32, arrived=arrived, **more)


def holding(*entries, **more):
    return archive(old_scan(resource(*entries or (entry("1.1"),), **more)))


def sources(items):
    return [item.source for item in items]


# -- what is new -----------------------------------------------------------------------------------


def test_nothing_comes_of_nothing():
    """Without scans there is nothing to do, and by itself no policy."""
    assert Merge() == merge([], None, compared={}, taken=lambda *_: True)


def test_a_first_archiving_adds_everything_under_its_own_name():
    """Without an archived session every scan is new and every file goes to its own place."""
    incoming = scan(instance("1.1", number="3", arrived=1.5))
    result = plan([incoming])
    line = Entry("1.1.dcm", "1.1", "a" * 32, 100, MR, 3, "1.1.dcm", "1970-01-01T00:00:01Z")
    assert (Add("SCANS/7/DICOM/", "1.1.dcm", "7", "DICOM", incoming.instances[0]),) == result.adds
    assert line == result.adds[0].entry
    assert (incoming,) == result.new_scans
    assert (result.touched, result.new_resources, result.renamed, result.joined) == ((), (), {}, {})


def test_a_new_file_of_an_archived_scan_is_added_to_its_catalog():
    """A file the archived scan lacks is added; its scan is touched, and is no new one."""
    result = plan([scan(instance("1.2"))], holding())
    assert targets(result) == ["SCANS/7/DICOM/1.2.dcm"]
    assert result.touched == (("7", "DICOM"),)
    assert (result.new_scans, result.new_resources) == ((), ())


def test_an_archived_scan_can_gain_a_resource():
    """A secondary file of a scan archived without such: a new catalog, the old one untouched."""
    incoming = [scan(instance("1.1"), instance("1.2", cls=SC, folder="secondary"))]
    result = plan(incoming, holding())
    assert targets(result) == ["SCANS/7/secondary/1.2.dcm"]
    assert result.touched == ()
    [(scan_id, gained)] = result.new_resources
    assert (scan_id, [r.label for r in gained.resources]) == ("7", ["secondary"])


def test_a_catalog_that_can_not_be_used_is_touched_though_nothing_is_added_to_it():
    """It is made again from its files first, whatever comes for its scan."""
    broken = resource(entry("1.1"), fault="can't be read")
    sound = resource(entry("1.9"), label="secondary")
    result = plan([scan(instance("1.1"))], archive(old_scan(broken, sound)))
    assert ((), (("7", "DICOM"),)) == (result.adds, result.touched)
    assert plan([scan(instance("8.1"), scan_id="8", uid="1.8")], holding(fault="x")).touched == ()


# -- names -----------------------------------------------------------------------------------------


def test_a_taken_name_gets_the_digest_then_a_number():
    """Nothing is overwritten: names on disk and in catalogs are avoided, -2 and -3 after all."""
    incoming = [scan(differing(name="x.dcm"))]
    archived = holding(entry("9.9", uri="x.dcm"))
    there = {f"SCANS/7/DICOM/x-{B}.dcm"}
    for number in (2, 3):
        result = plan(incoming, archived, present=there)
        expected = f"x-{B}-{number}.dcm"
        assert [f"SCANS/7/DICOM/{expected}"] == targets(result)
        assert expected == result.adds[0].entry.uri
        there |= set(targets(result))


def test_whose_file_a_taken_name_is_is_asked_of_the_disk():
    """A name that is the newcomer's own, from a try that was cut off, is not taken."""
    mine, other = instance("1.1"), instance("1.2", "c" * 32)
    asked = []

    def taken(path, newcomer):
        asked.append((path, newcomer))
        return newcomer is other and path == "SCANS/7/DICOM/1.2.dcm"

    result = merge([scan(mine, other)], None, compared={}, taken=taken)
    assert [PATH, f"SCANS/7/DICOM/1.2-{'c' * 8}.dcm"] == targets(result)
    assert (PATH, mine) in asked


def test_the_longest_names_stay_within_255_bytes():
    """A numbered name is cut, not refused by the file system."""
    name = "x" * 251 + ".dcm"
    longer = names.suffixed(name, "b" * 32)
    there = {f"SCANS/7/DICOM/{each}" for each in (name, longer)}
    result = plan([scan(differing(name=name))], present=there)
    assert len(result.adds[0].entry.uri) == 255
    assert result.adds[0].entry.uri.endswith("-2.dcm")


def test_two_newcomers_of_one_name_both_get_a_place():
    """One name in two prearchive folders that become one archived folder: both are kept."""
    one = differing(name="x.dcm", arrived=2)
    other = instance("1.2", "c" * 32, name="x.dcm", scan="old", arrived=1)
    result = plan([scan(one, other)])
    expected = [f"SCANS/7/DICOM/x-{B}.dcm", "SCANS/7/DICOM/x.dcm"]
    assert expected == targets(result)
    assert expected == [i.place.path for i in result.new_scans[0].instances]


# -- beside archived files -------------------------------------------------------------------------


def test_an_equal_digest_is_the_same_file_whatever_the_case_of_the_hex():
    """Same SOP UID and digest: dropped, nothing asked, nothing touched."""
    newcomer = instance("1.1", "AB" * 16)
    result = plan([scan(newcomer)], holding(entry("1.1", "ab" * 16)), policy="overwrite")
    assert Merge(same=(Same(PATH, PATH, newcomer, listed=True, size=100),)) == result


def test_with_an_equal_digest_the_archived_file_must_have_the_newcomer_s_size():
    """Whatever its catalog says of the size, or does not: equal digests are of as many bytes."""
    newcomer = instance("1.1", "a" * 32)
    known = [replace(entry("1.1", "a" * 32), size=size) for size in (None, 7)]
    found = [plan([scan(newcomer)], holding(each)).same[0].size for each in known]
    assert [newcomer.size] * 2 == found


def test_the_same_data_set_is_the_same_file_whatever_was_decided():
    """Found equal by comparing, preamble and group 0002 aside: dropped under every policy."""
    for policy in ("", "overwrite", "keep"):
        result = plan([scan(differing())], holding(), {PATH: SAME}, policy=policy)
        assert [PATH] == [same.target for same in result.same]
        assert (result.adds, result.differs, result.aside) == ((), (), ())


@pytest.mark.parametrize("answers", [{PATH: OTHER}, {PATH: Comparison()}, {}])
def test_what_differs_or_can_not_be_told_waits_for_a_decision(answers):
    """Neither file is chosen: the newcomer is on no other list, and nothing is touched."""
    result = plan([scan(differing())], holding(), answers)
    [found] = result.differs
    assert ("7", PATH, PATH, "") == (found.scan, found.source, found.target, found.policy)
    assert answers.get(PATH, Comparison()) == found.comparison
    assert Merge(differs=result.differs) == result


def test_overwrite_puts_the_newcomer_in_the_place_of_the_archived_file():
    """It gets a name of its own, the entry of the old one, and says which file it replaces."""
    result = plan([scan(differing())], holding(), policy="overwrite")
    [add] = result.adds
    assert (f"SCANS/7/DICOM/1.1-{B}.dcm", "7", "DICOM") == (add.target, add.scan, add.folder)
    assert add.replaces is not None
    assert (PATH, entry("1.1")) == (add.replaces.path, add.replaces.entry)
    assert result.touched == (("7", "DICOM"),)
    assert ["overwrite"] == [each.policy for each in result.differs]
    assert (result.new_scans, result.new_resources, result.aside) == ((), (), ())


def test_what_replaces_goes_into_the_resource_of_what_it_replaces():
    """Once archived a file keeps its resource, replaced or not."""
    archived = archive(old_scan(resource(), resource(entry("1.1"), label="secondary")))
    result = plan([scan(differing())], archived, policy="overwrite")
    assert targets(result) == [f"SCANS/7/secondary/1.1-{B}.dcm"]
    assert result.touched == (("7", "secondary"),)
    bare = archive(old_scan(resource(entry("1.1"), label="secondary")))
    result = plan([scan(differing())], bare, policy="overwrite")
    assert ((("7", "secondary"),), ()) == (result.touched, result.new_resources)


def test_keep_sends_the_newcomer_to_the_history():
    """The archived file stays as it is, and its catalog too."""
    newcomer = differing()
    result = plan([scan(newcomer)], holding(), policy="keep")
    assert (Aside(PATH, newcomer, "keep"),) == result.aside
    assert ["keep"] == [each.policy for each in result.differs]
    assert (result.adds, result.touched) == ((), ())


def test_another_class_is_ignored_under_every_policy():
    """Same SOP UID, other SOP class: the newcomer is neither added nor a difference."""
    newcomer = differing(cls=SC)
    assert suspects([scan(newcomer)], holding()) == ()
    for policy in ("", "overwrite", "keep"):
        result = plan([scan(newcomer)], holding(), {PATH: SAME}, policy=policy)
        expected = OtherClass(PATH, PATH, newcomer, entry("1.1"))
        assert Merge(other_class=(expected,)) == result


def test_an_archived_namesake_of_another_series_is_none():
    """Series decide first: a SOP UID that another scan has is added beside it."""
    incoming = [scan(instance("1.1", scan="8", series="1.8"), scan_id="8", uid="1.8")]
    assert targets(plan(incoming, holding())) == ["SCANS/8/DICOM/1.1.dcm"]


# -- beside other newcomers ------------------------------------------------------------------------

FIRST = instance("1.1", arrived=1)
COPY = instance("1.1", "A" * 32, name="copy.dcm", arrived=2)
SECOND = differing(name="2.dcm", arrived=3)
THIRD = instance("1.1", "c" * 32, name="3.dcm", arrived=4)


def test_one_instance_twice_in_a_session_is_added_once():
    """Equal bytes or an equal data set drop the second; another data set makes it a duplicate."""
    incoming = [scan(SECOND, FIRST, COPY)]
    result = plan(incoming)
    assert targets(result) == [PATH]
    assert (Same(COPY.place.path, PATH, COPY, listed=False),) == result.same
    assert (Duplicate(FIRST, SECOND, ("7", "7")),) == result.duplicates
    told = plan(incoming, compared={SECOND.place.path: SAME})
    assert ([COPY, SECOND], ()) == ([same.instance for same in told.same], told.duplicates)
    told = plan(incoming, compared={SECOND.place.path: OTHER})
    assert (Duplicate(FIRST, SECOND, ("7", "7"), OTHER),) == told.duplicates


def test_keep_settles_for_the_first_of_the_session():
    """All later ones go to the history."""
    result = plan([scan(THIRD, SECOND, FIRST)], policy="keep")
    assert [PATH] == targets(result)
    assert [(SECOND, "keep"), (THIRD, "keep")] == [(a.instance, a.policy) for a in result.aside]
    assert [(FIRST, SECOND), (FIRST, THIRD)] == [(d.first, d.second) for d in result.duplicates]


def test_overwrite_leaves_the_latest_of_the_session():
    """Each takes over from the one before; those go to the history, and so do their copies."""
    result = plan([scan(THIRD, SECOND, COPY, FIRST)], policy="overwrite")
    assert ["SCANS/7/DICOM/3.dcm"] == targets(result)
    assert [THIRD] == [add.instance for add in result.adds]
    assert [FIRST, COPY, SECOND] == [each.instance for each in result.aside]
    assert {"overwrite"} == {each.policy for each in result.aside}
    assert [(FIRST, SECOND), (SECOND, THIRD)] == [(d.first, d.second) for d in result.duplicates]
    assert () == result.same


def test_what_was_compared_with_the_first_tells_nothing_of_a_later_one():
    """The third equals the first, which the second has replaced: it takes over again."""
    answers = {SECOND.place.path: OTHER, THIRD.place.path: SAME}
    result = plan([scan(FIRST, SECOND, THIRD)], compared=answers, policy="overwrite")
    assert ["SCANS/7/DICOM/3.dcm"] == targets(result)
    assert [OTHER, Comparison()] == [each.comparison for each in result.duplicates]


def test_the_first_of_a_scan_was_not_compared_where_another_scan_has_an_earlier_one():
    """Twins are compared with what came first of all: an answer about that is none about others."""
    early = instance("1.1", scan="8", series="1.8", arrived=0)
    scans = [scan(FIRST, SECOND), scan(early, scan_id="8", uid="1.8")]
    archived = archive(old_scan(resource(entry("1.1"), scan="8"), scan_id="8", uid="1.8"))
    result = plan(scans, archived, compared={SECOND.place.path: OTHER})
    assert [early] == [same.instance for same in result.same]
    assert (Duplicate(FIRST, SECOND, ("7", "7")),) == result.duplicates


def test_duplicates_of_two_scans_name_both_and_the_latest_stays_in_its_own():
    """The scan that loses its only file to another is no new scan."""
    far = differing(scan="8", series="1.8", arrived=2)
    scans = [scan(FIRST), scan(far, scan_id="8", uid="1.8")]
    assert [("7", "8")] == [each.scans for each in plan(scans).duplicates]
    result = plan(scans, policy="overwrite")
    assert ["SCANS/8/DICOM/1.1.dcm"] == targets(result)
    assert ["8"] == [each.id for each in result.new_scans]


def test_another_class_twice_in_a_session_is_ignored_too():
    """The first class to come holds the SOP UID, as if it had been archived before."""
    other = instance("1.1", "b" * 32, cls=SC, name="o.dcm", arrived=2)
    for policy in ("", "overwrite", "keep"):
        result = plan([scan(FIRST, other)], policy=policy)
        assert [other] == [each.instance for each in result.other_class]
        assert ([PATH], (), ()) == (targets(result), result.duplicates, result.aside)


# -- beside both -----------------------------------------------------------------------------------


def test_of_several_that_may_replace_an_archived_file_the_latest_does():
    """The archived file is replaced once; the others of the session go to the history."""
    archived = holding(entry("1.1", "d" * 32))
    result = plan([scan(FIRST, COPY, SECOND)], archived, policy="overwrite")
    assert ["SCANS/7/DICOM/2.dcm"] == targets(result)
    assert [PATH] == [add.replaces.path for add in result.adds if add.replaces]
    assert [FIRST, COPY] == [each.instance for each in result.aside]
    assert [FIRST] == [each.instance for each in result.differs]
    assert [(FIRST, SECOND)] == [(d.first, d.second) for d in result.duplicates]


def test_what_takes_over_goes_into_the_resource_of_the_archived_file_too():
    """The catalog that lists the archived file changes, whoever replaces it last."""
    line = entry("1.1", "d" * 32)
    archived = archive(old_scan(resource(), resource(line, label="secondary")))
    result = plan([scan(FIRST, SECOND)], archived, policy="overwrite")
    assert ["SCANS/7/secondary/2.dcm"] == targets(result)
    assert (("7", "secondary"),) == result.touched


def test_what_equals_the_archived_file_does_not_equal_what_replaces_that():
    """A comparison with the archived file is none with the newcomer in its place."""
    answers = {PATH: OTHER, SECOND.place.path: SAME}
    archived = holding(entry("1.1", "d" * 32))
    result = plan([scan(FIRST, SECOND)], archived, answers, policy="overwrite")
    assert ["SCANS/7/DICOM/2.dcm"] == targets(result)
    assert [FIRST] == [each.instance for each in result.aside]
    assert () == result.same


def test_a_copy_of_the_archived_file_that_came_first_is_dropped_though_it_is_replaced():
    """What it holds goes to the history with the archived file."""
    result = plan([scan(FIRST, SECOND)], holding(), policy="overwrite")
    assert [FIRST] == [each.instance for each in result.same]
    assert [SECOND] == [add.instance for add in result.adds]


def test_a_file_of_another_scan_takes_nothing_over_from_what_replaces():
    """Its catalog is another one: the archived file is replaced in its own, this one is added."""
    near = differing(scan="8", series="1.8", arrived=1)
    archived = archive(old_scan(resource(entry("1.1"), scan="8"), scan_id="8", uid="1.8"))
    later = instance("1.1", "c" * 32, scan="8", series="1.8", name="later.dcm", arrived=3)
    far = instance("1.1", "e" * 32, arrived=2)
    scans = [scan(far), scan(near, later, scan_id="8", uid="1.8")]
    result = plan(scans, archived, policy="overwrite")
    assert ["SCANS/7/DICOM/1.1.dcm", "SCANS/8/DICOM/later.dcm"] == targets(result)
    assert [None, "SCANS/8/DICOM/1.1.dcm"] == [
        add.replaces and add.replaces.path for add in result.adds
    ]
    assert [near] == [each.instance for each in result.aside]
    assert (("8", "DICOM"),) == result.touched


@pytest.mark.parametrize("uids", [("", ""), ("1.1", "1.2"), ("", "1.2"), ("1.1", "")])
def test_an_archived_file_met_by_name_is_replaced_by_one_instance_only(uids):
    """A second of that name has another UID, or none: it is added beside the first."""
    archived = holding(entry("", "d" * 32, uri="x.dcm"))
    first, second = (
        instance(uid, digest * 32, name="x.dcm", scan=folder, arrived=n)
        for n, (uid, digest, folder) in enumerate(zip(uids, "bc", ("7", "old"), strict=True))
    )
    result = plan([scan(first, second)], archived, policy="overwrite")
    assert [f"SCANS/7/DICOM/x-{c * 8}.dcm" for c in "bc"] == targets(result)
    assert [True, False] == [add.replaces is not None for add in result.adds]
    assert [first] == [each.instance for each in result.differs]
    assert () == result.duplicates


def test_each_newcomer_has_its_own_policy():
    """What was decided holds for the files it was decided for."""
    archived = holding(entry("1.1", "d" * 32))
    decided = {PATH: "overwrite"}
    result = plan([scan(FIRST, SECOND, THIRD)], archived, policy=decided)
    assert [FIRST] == [add.instance for add in result.adds]
    assert [(SECOND, ""), (THIRD, "")] == [(d.second, d.policy) for d in result.duplicates]
    undecided = plan([scan(FIRST, SECOND)], archived, policy={SECOND.place.path: "overwrite"})
    assert [(PATH, ""), (SECOND.place.path, "overwrite")] == [
        (each.source, each.policy) for each in undecided.differs
    ]
    assert [SECOND.place.path] == sources(undecided.adds)
