"""Laws of every merge, whatever comes in whatever order under whatever was decided."""

from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from incoming import MR, SC, archive, entry, instance, old_scan, plan, resource, scan, targets

from watcher.core.match import Comparison, meet, path_of, suspects, twins

uids = st.sampled_from(["", "1.1", "1.2", "1.3"])
digests = st.sampled_from(["a" * 32, "b" * 32, "c" * 32])
classes = st.sampled_from([MR, MR, SC, ""])
labels = st.sampled_from(["DICOM", "secondary"])
numbers = st.sampled_from(["7", "7-MR1", "8"])
file_names = st.sampled_from(["x.dcm", "y.dcm", f"x-{'b' * 8}.dcm"])
policies = st.sampled_from(["", "overwrite", "keep"])
law = settings(max_examples=60)  # of nearly a dozen


@st.composite
def incoming_scans(draw, classes=classes):
    scans = []
    for scan_id in draw(st.lists(numbers, unique=True, max_size=3)):
        places = st.tuples(st.sampled_from([scan_id, f"old{scan_id}"]), labels, file_names)
        held = [
            instance(
                draw(uids),
                draw(digests),
                scan=folder,
                series=f"s{scan_id}",
                name=name,
                folder=label,
                cls=draw(classes),
                arrived=draw(st.integers(0, 3)),
            )
            for folder, label, name in draw(st.lists(places, unique=True, min_size=1, max_size=5))
        ]
        scans.append(scan(*held, scan_id=scan_id, uid=f"s{scan_id}"))
    return scans


@st.composite
def archives(draw):
    scans = []
    for scan_id in draw(st.lists(numbers, unique=True, max_size=3)):
        resources = []
        for label in draw(st.lists(labels, unique=True)):
            entries = [
                entry(draw(uids), draw(digests | st.just("")), uri=uri, cls=draw(classes))
                for uri in draw(st.lists(file_names))  # an old catalog may list a file twice
            ]
            fault = draw(st.sampled_from(["", "", "can't be read"]))
            resources.append(resource(*entries, label=label, scan=scan_id, fault=fault))
        uid = draw(st.sampled_from(["", "s7", "s8", f"t{scan_id}"]))
        scans.append(old_scan(*resources, scan_id=scan_id, uid=uid))
    return archive(*scans)


def places(scans):
    return [i.place.path for each in scans for i in each.instances]


@st.composite
def merges(draw):
    """What comes, what is archived, and the merge of the two."""
    scans, archived = draw(incoming_scans()), draw(archives())
    answers = draw(st.dictionaries(st.sampled_from(places(scans) or [""]), _comparisons))
    decided = {path: draw(policies) for path in places(scans)}
    names = st.tuples(numbers, labels, file_names)
    present = {f"SCANS/{n}/{label}/{name}" for n, label, name in draw(st.sets(names))}
    return scans, archived, plan(scans, archived, answers, present, decided), present


_comparisons = st.builds(Comparison, same=st.sampled_from([True, False, None]))


def listed(archived):
    return [path_of(r, e) for s in archived.scans for r in s.resources for e in r.entries]


@law
@given(merges())
def test_every_file_has_exactly_one_end(case):
    """Added, dropped, ignored, sent to the history, or waiting for a decision, and never two."""
    scans, _, result, _ = case
    lists = (result.adds, result.same, result.other_class, result.aside)
    ended = [each.source for items in lists for each in items]
    ended += [each.source for each in result.differs if not each.policy]
    ended += [each.second.place.path for each in result.duplicates if not each.policy]
    assert sorted(places(scans)) == sorted(ended)


@law
@given(merges())
def test_nothing_is_overwritten(case):
    """Targets are distinct, and no name that is listed or on disk."""
    _, archived, result, present = case
    added = targets(result)
    assert len(set(added)) == len(added)
    assert set() == set(added) & (set(listed(archived)) | present)
    assert all(a.target == f"SCANS/{a.scan}/{a.folder}/{a.entry.uri}" for a in result.adds)


@law
@given(merges())
def test_an_archived_file_is_replaced_once_and_in_its_own_catalog(case):
    """What replaces it is listed where it was, was decided on, and has its UID where both say."""
    _, archived, result, _ = case
    replacing = [add for add in result.adds if add.replaces]
    gone = [add.replaces.path for add in replacing]
    assert len(set(gone)) == len(gone)
    assert set(gone) <= set(listed(archived))
    for add in replacing:
        assert add.replaces.path.startswith(f"SCANS/{add.scan}/{add.folder}/")
        assert add.replaces.entry.uid in {add.instance.header.sop_instance, ""} or not (
            add.instance.header.sop_instance
        )
    assert set(gone) == {each.target for each in result.differs if each.policy == "overwrite"}


@law
@given(merges())
def test_what_is_dropped_is_held_where_it_says(case):
    """Its target is listed, or comes with this merge."""
    _, archived, result, _ = case
    assert {s.target for s in result.same if s.listed} <= set(listed(archived))
    assert {s.target for s in result.same if not s.listed} <= set(targets(result))


@law
@given(merges())
def test_blank_uids_meet_nothing_but_by_name(case):
    """A file without a SOP UID is no duplicate, and no namesake of what has another name."""
    _, _, result, _ = case
    assert all(d.first.header.sop_instance for d in result.duplicates)
    met = [*result.same, *result.differs, *result.other_class]
    for each in met:
        if not each.instance.header.sop_instance:
            assert each.target.rpartition("/")[2] == each.instance.place.name


@law
@given(merges())
def test_a_sop_uid_is_added_once_but_for_files_in_other_scans_places(case):
    """Of one UID at most one file comes anew, and at most one for each archived file."""
    _, _, result, _ = case
    keys = [
        (add.instance.header.sop_instance, add.replaces and add.replaces.path)
        for add in result.adds
        if add.instance.header.sop_instance
    ]
    assert len(set(keys)) == len(keys)


@law
@given(merges())
def test_what_is_catalogued_is_what_is_added(case):
    """New scans, new resources and touched catalogs together hold the adds, each once."""
    _, archived, result, _ = case
    final = [new.id for new in result.new_scans]
    assert len(set(final)) == len(final)
    assert set() == set(final) & {old.id for old in archived.scans}
    news = [*result.new_scans, *(gained for _, gained in result.new_resources)]
    placed = Counter(i.place.path for new in news for i in new.instances)
    placed += Counter(a.target for a in result.adds if (a.scan, a.folder) in result.touched)
    assert Counter(targets(result)) == placed
    known = {(s.id, r.label) for s in archived.scans for r in s.resources}
    assert set(result.touched) <= known


@law
@given(merges())
def test_no_scan_is_both_joined_and_renamed(case):
    """A series has one final ID; it is told only where it is not its own."""
    scans, archived, result, _ = case
    assert set() == result.joined.keys() & result.renamed.keys()
    moves = [*result.joined.values(), *result.renamed.values()]
    assert all(old != final for old, final in moves)
    there = {old.id for old in archived.scans}
    assert {final for _, final in result.joined.values()} <= there
    assert set() == there & {final for _, final in result.renamed.values()}
    final = {**result.joined, **result.renamed}
    expected = {each.uid: final.get(each.uid, (each.id, each.id))[1] for each in scans}
    assert expected == {m.scan.uid: m.id for m in meet(scans, archived)}


@law
@given(incoming_scans(), archives())
def test_only_suspects_wait_for_a_comparison(incoming, archived):
    """With every suspect the same data set nothing differs; each differing one was a suspect."""
    asked = {s.instance.place.path for s in suspects(incoming, archived)}
    assert asked == {d.source for d in plan(incoming, archived).differs}
    answers = dict.fromkeys(asked, Comparison(same=True))
    assert plan(incoming, archived, answers).differs == ()


@law
@given(incoming_scans(st.sampled_from([MR, SC])))
def test_only_twins_may_be_duplicates(incoming):
    """In a new session what is found equal to what came first of its UIDs is no duplicate."""
    asked = {twin.second.place.path for twin in twins(incoming)}
    assert {d.second.place.path for d in plan(incoming).duplicates} <= asked
    answers = dict.fromkeys(asked, Comparison(same=True))
    assert plan(incoming, compared=answers).duplicates == ()


@law
@given(incoming_scans(), archives(), policies, st.randoms(use_true_random=False))
def test_the_order_in_which_files_are_listed_decides_nothing(incoming, archived, policy, random):
    """Arrival and place decide: listed otherwise, the same files go to the same targets."""

    def mixed(held):
        return replace(held, instances=tuple(random.sample(held.instances, len(held.instances))))

    shuffled = [replace(each, resources=tuple(map(mixed, each.resources))) for each in incoming]
    expected, again = (plan(scans, archived, policy=policy) for scans in (incoming, shuffled))
    assert {a.source: a for a in expected.adds} == {a.source: a for a in again.adds}
    for name in ("same", "differs", "duplicates", "other_class", "aside", "touched"):
        assert getattr(expected, name) == getattr(again, name)


def test_arrivals_that_were_forgotten_are_told_by_their_names():
    """A lost ledger makes all files arrive at once: the suffixed name came after the plain one."""
    first = instance("1.1", "a" * 32, name="x.dcm")
    later = instance("1.1", "b" * 32, name="x-bbbbbbbb.dcm")
    result = plan([scan(later, first)], policy="overwrite")
    assert [later] == [add.instance for add in result.adds]
    assert [first] == [each.instance for each in result.aside]
