"""Sessions that a layout names by `{timestamp}`: which one takes a file; and paths unmatched."""

from dataclasses import replace

from watcher.core.life import Event
from watcher.core.session import Identity, SessionKey
from watcher.stages import decide, pending
from watcher.stages.rebuild import build

NAME = "20260619_091425123"


def filed(bench, *paths, study="1.2.3", start=1):
    """Files below folders that name timestamp and session; gives their sessions' ids, in order."""
    drop = replace(bench.drop, layout=("{timestamp}", "{session}"))
    for number, path in enumerate(paths, start):
        bench.put(path, number, study=study)
    return [outcome.session for outcome in bench.file(*paths, drop=drop)]


def test_one_batch(bench):
    """Files of two names in one batch open two sessions, each one once."""
    ids = filed(bench, f"{NAME}/S/a", "tuesday/S/a", f"{NAME}/S/b", "tuesday/S/b")
    assert (NAME, NAME, 2) == (ids[0], ids[2], len(set(ids)))
    assert ids[1] == ids[3]


def test_another_label_under_the_same_timestamp(bench):
    """An id is given once: the second session has one of its own, and is found by the name."""
    first, second = filed(bench, f"{NAME}/S/a", f"{NAME}/T/a")
    assert (NAME, True) == (first, second != NAME)
    assert [second] == filed(bench, f"{NAME}/T/b", study="1.5")
    assert NAME == bench.parts.ledger.session(second).origins["timestamp"]


def test_the_id_of_any_session_names_it(bench):
    """As in XNAT, the folder may name a session of the prearchive that others opened."""
    session = bench.filed(1, PatientID="S")
    assert [session.id] == filed(bench, f"{session.id}/S/b", study="7.7", start=2)


def test_a_session_that_was_left_unread(bench):
    """A session in the tree that can't be read keeps its id: nothing is filed among its files."""
    bench.parts.conditions.raise_("session.error", f"session/{NAME}", 0.0, session=NAME)
    (found,) = filed(bench, f"{NAME}/S/a")
    assert NAME != found


def test_a_name_that_is_no_moment(bench):
    """Of the shape of an id, but no date: it is remembered, and no id."""
    (found,) = filed(bench, "20261399_256161000/S/a")
    assert found != "20261399_256161000"
    assert "20261399_256161000" == bench.parts.ledger.session(found).origins["timestamp"]


def test_a_relabelled_one(bench):
    """After `relabel` later files of the folder follow the decision to the same session."""
    (found,) = filed(bench, f"{NAME}/S/a")
    built = build(bench.parts, found, Event.IDLE)
    decide.relocate(
        bench.parts, found, project="P1", label="NEW", subject=built.subject,
        command="relabel", who="me",
    )  # fmt: skip
    assert [found] == filed(bench, f"{NAME}/S/b", start=2)
    assert "NEW" == bench.parts.ledger.session(found).label


def test_folders_without_end(bench):
    """What was said is remembered within a bound; a drop of many folders says some again."""
    unmatched = pending.Unmatched(bench.parts, replace(bench.drop, layout=("in", "{session}")))
    lost = Identity(SessionKey("P1", "1.2", "L"), "s", None, {"layout": "no match"})
    for number in [*range(pending.FOLDERS + 1), 0, 0]:
        unmatched.tell(b"%d/a" % number, lost)
    said = bench.events("drop.unmatched")
    assert (pending.FOLDERS + 2, "in/{session}") == (len(said), said[0]["layout"])


def test_folders_that_fit(bench):
    """A path that fits its layout, or a drop without one, says nothing."""
    unmatched = pending.Unmatched(bench.parts, bench.drop)
    unmatched.tell(b"a/b", Identity(SessionKey("P1", "1.2", "L"), "s", None, {}))
    assert [] == bench.events("drop.unmatched")
