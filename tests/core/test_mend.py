"""`core.mend`: whatever is wrong with a catalog, nothing is invented and nothing is lost."""

from dataclasses import replace

from filed import made
from hypothesis import given
from hypothesis import strategies as st

from watcher.core.file import Fingerprint
from watcher.core.listing import entry_of
from watcher.core.mend import Facts, mend, to_read
from watcher.core.soundness import Item

FOLDER, SERIES = "SCANS/1/DICOM", "1.2.3.4.1"
NAMES = [f"{number}.dcm" for number in range(1, 6)]
HERE = {
    f"{FOLDER}/{name}": made(f"1.2.3.4.1.{number}") for number, name in enumerate(NAMES, start=1)
}


def listed(name, *, gone=False, uri="", **changes):
    path = f"{FOLDER}/{name}"
    entry = replace(entry_of(HERE[path], uri or name), **changes)
    return Item(entry, path, None if gone else Fingerprint(1, 1, HERE[path].size, 1, 1))


def facts(paths=tuple(HERE)):
    return Facts({path: HERE[path].digest for path in paths}, {p: HERE[p] for p in paths})


def mended(items, unlisted=(), *, accept=False, series=SERIES, known=None):
    paths = [f"{FOLDER}/{name}" for name in unlisted]
    return mend(items, paths, known or facts(), folder=FOLDER, series=series, accept=accept)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(NAMES),
            st.sampled_from(["", "./"]),
            st.sampled_from(["own", "", "0" * 32]),
            st.booleans(),
            st.booleans(),
        ),
        max_size=8,
    ),
    st.frozensets(st.sampled_from(NAMES)),
)
def test_nothing_invented_nothing_lost(rows, gone):
    """Every file and every digest that was listed is listed after; nothing else but real files."""
    items = [
        listed(
            name,
            uri=spelled + name,
            gone=name in gone,
            **({} if digest == "own" else {"digest": digest}),
            **({} if with_uid else {"uid": ""}),
            **({} if with_class else {"class_uid": ""}),
        )
        for name, spelled, digest, with_uid, with_class in rows
    ]
    there = [path for path in HERE if path.rpartition("/")[2] not in gone]
    named = {item.path for item in items}
    beside = [path.rpartition("/")[2] for path in there if path not in named]
    done = mended(items, beside, known=facts(there))
    before = {item.path.rpartition("/")[2] for item in items}
    after = {entry.uri.rpartition("/")[2] for entry in done.entries}
    assert before <= after <= before | set(beside)
    own = {HERE[path].digest for path in there}
    assert {one.digest for one in done.entries} <= {i.entry.digest for i in items} | own
    for name in before:
        mine = {one.digest for one in done.entries if one.uri.endswith(name)}
        said = {each.entry.digest for each in items if each.entry.uri.endswith(name)} - {""}
        fits = name not in gone and HERE[f"{FOLDER}/{name}"].digest in said
        if name in gone:
            assert said <= mine
        elif said and not fits:
            assert mine <= said  # other bytes are never taken for the ones listed


def test_a_sound_catalog_is_left_alone():
    """Nothing to say, nothing to write, nothing to read."""
    items = [listed(name) for name in NAMES]
    done = mended(items)
    assert ("", {}, (), ()) == (done.what, done.replace, done.drop, done.add)
    assert [] == list(to_read(items, facts().digests, accept=True))


def test_only_poor_or_accepted_entries_are_read():
    """A file whose entry lacks something; a changed one only where a person accepts it."""
    items = [listed("1.dcm", uid=""), listed("2.dcm", digest="0" * 32), listed("3.dcm", size=1)]
    items += [listed("4.dcm", gone=True), listed("5.dcm")]
    digests = facts([path for path in HERE if not path.endswith("4.dcm")]).digests
    first, second, third, *_ = HERE
    assert [first, third] == list(to_read(items, digests, accept=False))
    assert [first, second, third] == list(to_read(items, digests, accept=True))


def test_a_known_series_keeps_others_out():
    """Unlisted files of another series stay unlisted; where none is known all may come."""
    assert 0 == len(mended([], ["1.dcm"], series="9.9").add)
    assert 1 == len(mended([], ["1.dcm"], series="").add)


def test_an_instance_is_not_listed_twice():
    """An unlisted file whose instance is listed, with its class or without, is not added."""
    double = {**HERE, f"{FOLDER}/copy": HERE[f"{FOLDER}/1.dcm"]}
    known = Facts({path: one.digest for path, one in double.items()}, double)
    for class_uid in (HERE[f"{FOLDER}/1.dcm"].header.sop_class, ""):
        items = [listed("1.dcm", class_uid=class_uid, digest="0" * 32)]
        assert () == mended(items, ["copy"], known=known).add


def test_what_is_gone_and_lies_elsewhere_is_found_only_with_its_bytes():
    """Same UID and digest: the entry goes there. Same UID, other bytes: for a person."""
    double = {f"{FOLDER}/new": HERE[f"{FOLDER}/1.dcm"]}
    known = Facts({path: one.digest for path, one in double.items()}, double)
    done = mended([listed("1.dcm", gone=True)], ["new"], known=known)
    assert (["new"], 1000) == ([one.uri for one in done.entries], done.size)
    done = mended([listed("1.dcm", gone=True, digest="0" * 32)], ["new"], known=known)
    assert ["1.dcm"] == [one.uri for one in done.entries]


def test_accepting_renews_and_drops():
    """Both are told, with the digest that was."""
    items = [listed("1.dcm", digest="0" * 32), listed("2.dcm", gone=True), listed("3.dcm")]
    done = mended(items, accept=True)
    assert (("2.dcm",), "changes accepted: 2") == (done.drop, done.what)
    assert {"1.dcm", "3.dcm"} == {one.uri for one in done.entries}
    assert HERE[f"{FOLDER}/1.dcm"].digest == done.replace["1.dcm"].digest
    assert "it was " + "0" * 32 in dict(done.accepted)[f"{FOLDER}/1.dcm"]


def test_a_file_found_again_leaves_an_entry_that_disputes_it():
    """Of two entries of a lost file that contradict each other one is found; the other stays."""
    path, other = f"{FOLDER}/1.dcm", f"{FOLDER}/6.dcm"
    lost = [
        listed("1.dcm", gone=True),
        listed("1.dcm", gone=True, uri="./1.dcm", digest="0" * 32),
    ]
    known = Facts({other: HERE[path].digest}, {other: HERE[path]})
    done = mended(lost, ["6.dcm"], known=known)
    assert {"6.dcm", "./1.dcm"} == {entry.uri for entry in done.entries}
    assert 2 * HERE[path].size == done.size
