"""Which files need nothing more: as a dictionary would tell it, in a fraction of its room."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.core.file import Fingerprint
from watcher.core.kept import LOOKS, Kept

ONE = Fingerprint(device=1, inode=2, size=3, mtime_ns=4, ctime_ns=5)
paths = st.integers(0, 15).map(lambda number: b"%d" % number)
prints = st.builds(lambda size: replace(ONE, size=size), st.integers(0, 2))
steps = st.lists(
    st.tuples(st.sampled_from(["add", "knows", "has", "drop", "begin", "keep_met"]), paths, prints)
)


def filled(*names):
    kept = Kept()
    for name in names:
        kept.add(name, ONE)
    return kept


class Model:
    """The same with a dictionary, and a set of what was met."""

    def __init__(self):
        self.known, self.met = {}, set()

    def add(self, path, seen):
        self.known[path] = seen
        self.met.add(path)

    def knows(self, path, _):
        self.met |= {path} & self.known.keys()
        return path in self.known

    def has(self, path, seen):
        found = self.known.get(path)
        if found == seen:
            self.met.add(path)
        else:
            self.drop(path, seen)
        return found == seen

    def drop(self, path, _):
        self.known.pop(path, None)
        self.met.discard(path)

    def begin(self, *_):
        self.met.clear()

    def keep_met(self, *_):
        self.known = {path: self.known[path] for path in self.met}


@given(steps)
def test_it_tells_what_a_dictionary_tells(tried):
    """Whatever is added, asked, dropped or swept: the same files, and the same met ones."""
    kept, model = Kept(), Model()
    given_to = {"add": 2, "knows": 1, "has": 2, "drop": 1, "begin": 0, "keep_met": 0}
    for step, path, seen in tried:
        told = getattr(kept, step)(*(path, seen)[: given_to[step]])
        assert getattr(model, step)(path, seen) == told
        assert len(model.known) == len(kept)
        assert len(model.known) - len(model.met) == kept.unmet
        assert (path in model.met) == kept.was_met(path)


@pytest.mark.parametrize("what", ["inode", "size", "mtime_ns"])
def test_another_content_is_another_file(what):
    """The key of spec 5: path, size, mtime, inode; a change of one of them makes it new."""
    kept = filled(b"a")
    changed = replace(ONE, **{what: 9})
    assert (False, True) == (kept.has(b"a", changed), kept.has(b"b", ONE) is False)
    assert not kept.knows(b"a")


@pytest.mark.parametrize("what", ["device", "ctime_ns"])
def test_a_mount_s_number_or_a_mode_makes_no_new_file(what):
    """Device numbers change from mount to mount, and ctime with a chmod: it is the same file."""
    assert filled(b"a").has(b"a", replace(ONE, **{what: 9}))


def test_numbers_do_not_run_into_each_other():
    """Size 1 and mtime 23 is not size 12 and mtime 3."""
    kept = Kept()
    kept.add(b"a", replace(ONE, size=1, mtime_ns=23))
    assert not kept.has(b"a", replace(ONE, size=12, mtime_ns=3))


def test_what_was_met_long_ago_is_unmet():
    """However many looks there were, a name is met by the one that met it, and the next is not."""
    kept = filled(b"a")
    for _ in range(3 * LOOKS):
        kept.begin()
        assert (1, False) == (kept.unmet, kept.was_met(b"a"))
        assert kept.knows(b"a")
        assert (0, True) == (kept.unmet, kept.was_met(b"a"))


def test_many_take_little_room():
    """Seventy bytes for each of the most there ever were, also where they come and go."""
    kept, most = Kept(), 1000
    for round_ in range(3):
        for number in range(10_000):
            kept.add(b"%d/%d" % (round_, number), ONE)
            most = max(most, len(kept))
            assert kept.room < 70 * most or len(kept) < 1000
        kept.begin()
        kept.keep_met()
        assert 0 == len(kept)


def test_a_path_is_replaced_and_forgotten():
    """The last word on a path holds; one that is dropped is unknown, met or not."""
    kept = filled(b"a", b"b")
    kept.begin()
    kept.add(b"a", replace(ONE, size=9))
    assert (1, True) == (kept.unmet, kept.has(b"a", replace(ONE, size=9)))
    kept.drop(b"a")
    kept.drop(b"b")
    kept.drop(b"never")
    assert (0, 0, False) == (kept.unmet, len(kept), kept.knows(b"b"))
