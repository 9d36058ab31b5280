"""Files that are ripe, in turns of top-level folders."""

from hypothesis import given
from hypothesis import strategies as st

from watcher.core.line import LEAST, Line

paths = st.sampled_from([b"a", b"b", b"x/1", b"x/2", b"x/y/3", b"z/1"])


def line(*groups):
    """So many files of each top-level folder, in the order of their coming."""
    made = Line()
    for name, number in groups:
        for each in range(number):
            made[b"%b/%04d" % (name, each)] = float(each)
    return made


def counted(paths):
    tops = [path.split(b"/")[0] for path in paths]
    return {top: tops.count(top) for top in dict.fromkeys(tops)}


def taken(made, limit):
    batch = [path for path, _ in made.items(limit)]
    assert all(made.take(path) for path in batch)
    return batch


def test_a_batch_has_a_part_for_each_folder():
    """Ten files of a folder are in the very next batch, however many others came before."""
    made = line((b"big", 20_000), (b"small", 10))
    assert {b"big": 246, b"small": 10} == counted(taken(made, 256))


def test_one_folder_alone_has_all_of_it():
    """Without others, a batch is the oldest ones, in their order."""
    made = line((b"big", 1000))
    assert [b"big/%04d" % each for each in range(256)] == taken(made, 256)
    assert [b"big/%04d" % each for each in range(256, 512)] == taken(made, 256)


def test_many_folders_take_turns():
    """More folders than one batch can serve: those that had their turn come after the others."""
    names = [b"%02d" % each for each in range(20)]
    made = line(*((name, 100) for name in names))
    batches = [counted(taken(made, 256)) for _ in range(3)]
    assert [dict.fromkeys(names[8 * at : 8 * at + 8], LEAST) for at in (0, 1)] == batches[:2]
    assert names[16:] + names[:4] == list(batches[2])


def test_loose_files_are_a_folder_of_their_own():
    """Files beside the folders take their turn like one folder."""
    made = line((b"big", 1000))
    for each in (b"1", b"2"):
        made[each] = 0.0
    assert {b"1", b"2"} < {path for path, _ in made.items(256)}


def test_what_is_not_in_line_cannot_be_taken():
    """Taken once only; what was taken out is not there, nor is its folder."""
    made = line((b"x", 1))
    assert (True, False, False) == (made.take(b"x/0000"), made.take(b"x/0000"), made.take(b"y"))
    assert ([], []) == (list(made.items()), list(made.values()))


@given(st.lists(st.tuples(st.sampled_from(["set", "pop", "take"]), paths)), st.integers(0, 9))
def test_none_is_lost_and_none_comes_twice(steps, limit):
    """Whatever comes and goes: the same paths as in a dictionary, each once; a batch is a part."""
    made, model = Line(), {}
    for at, (step, path) in enumerate(steps):
        if step == "set":
            made[path] = model[path] = float(at)
        elif step == "pop":
            assert model.pop(path, None) == made.pop(path)
        else:
            assert (model.pop(path, None) is not None) == made.take(path)
    assert model == dict(made.items())
    assert sorted(model.values()) == sorted(made.values())
    batch = list(made.items(limit))
    assert min(limit, len(model)) == len(set(batch)) == len(batch)
