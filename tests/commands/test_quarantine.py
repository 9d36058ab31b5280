"""`watcher quarantine`: listed, shown, given back, purged."""

import pytest
from imaging import told
from makers import make_dicom
from world import World


@pytest.fixture
def world(tmp_path):
    """Two files without their study and two that are no DICOM, set aside."""
    made = World(tmp_path)
    for number in (1, 2):
        make_dicom(made.drop / f"bad/{number}", study=None, sop=f"1.2.{number}")
        (made.drop / "bad" / f"{number}.txt").write_text("notes")
    assert made.once()[0] == 3
    return made


def listed(world, *words):
    return world.json("quarantine", "list", *words)[0]


class TestLooking:
    """`list` and `show`."""

    def test_entries_are_listed(self, world, capsys):
        """Those of a drop, those with a code; those that are settled only with --all."""
        assert 3 == len(listed(world))
        found = listed(world, "--code", "missing-uid", "--drop", "mri")
        assert {"bad/1", "bad/2"} == {each["path"] for each in found}
        assert [] == listed(world, "--drop", "other")
        code, text = told(capsys, world.config, "quarantine", "list")
        assert (0, 2) == (code, text.count("missing-uid"))
        world.watcher("quarantine", "purge", found[0]["id"], "--reason", "x")
        assert (2, 3) == (len(listed(world)), len(listed(world, "--all")))
        _, text = told(capsys, world.config, "quarantine", "list", "--all")
        assert (2, 1) == (text.count(" open"), text.count(" settled"))
        code, text = told(capsys, world.config, "quarantine", "list", "--drop", "other")
        assert (0, "nothing in quarantine fits") == (code, text.strip())

    def test_one_is_shown_with_its_files(self, world, capsys):
        """Everything its reason says, and the files in it."""
        (wanted,) = listed(world, "--code", "not-dicom")
        found, code = world.json("quarantine", "show", wanted["id"])
        assert (0, ["bad/1.txt", "bad/2.txt"]) == (code, [each["path"] for each in found["paths"]])
        code, text = told(capsys, world.config, "quarantine", "show", wanted["id"])
        assert (0, True, True) == (code, "code: not-dicom" in text, "bad/2.txt" in text)

    @pytest.mark.parametrize("words", [("show", "nobody"), ("requeue",), ("requeue", "mri")])
    def test_none_or_an_ambiguous_one_is_a_fault_of_usage(self, world, words):
        """2, and nothing changed."""
        assert 2 == world.watcher("quarantine", *words)[0]
        assert 3 == len(listed(world))


class TestGivingBack:
    """`requeue`."""

    def test_files_are_looked_at_as_new(self, world):
        """Back under their names; the next run takes them again."""
        found = listed(world, "--code", "missing-uid")
        ids = [each["id"] for each in found]
        done, code = world.json("quarantine", "requeue", *ids, "--reason", "mended")
        assert 2 == (world.root / "history" / "decisions.jsonl").read_text().count('"mended"')
        assert (0, [False, False]) == (code, [each["open"] for each in done])
        assert ["bad/1", "bad/2"] == world.left()
        make_dicom(world.drop / "bad/1", study="1.2.9", sop="1.2.1")
        assert 3 == world.once()[0]
        assert [] == world.left()
        assert ["bad/2"] == [each["path"] for each in listed(world, "--code", "missing-uid")]
        assert 1 == len(world.archived())

    def test_a_selection(self, world):
        """All of a drop, or all with a code, and those named besides, each once."""
        (notes,) = listed(world, "--code", "not-dicom")
        done, code = world.json("quarantine", "requeue", notes["id"], "--drop", "mri")
        assert (0, 3) == (code, len({each["id"] for each in done}))
        assert 3 == len(done)
        assert ["bad/1", "bad/1.txt", "bad/2", "bad/2.txt"] == world.left()
        assert 2 == world.watcher("quarantine", "requeue", "--code", "missing-uid")[0]

    def test_a_drop_that_is_gone_is_refused(self, world):
        """4, with why; what was set aside stays."""
        world.drop.rename(world.base / "away")
        assert 4 == world.watcher("quarantine", "requeue", listed(world)[0]["id"])[0]
        assert 4 == world.watcher("quarantine", "requeue", "--drop", "mri")[0]
        assert "is missing" in world.errors
        assert 3 == len(listed(world))


class TestPurging:
    """`purge`."""

    def test_it_wants_a_reason_and_ids(self, world):
        """2 without either; with both the files are gone, and the decision is kept."""
        wanted = listed(world)[0]
        assert 2 == world.watcher("quarantine", "purge", wanted["id"])[0]
        assert 2 == world.watcher("quarantine", "purge", "--reason", "x")[0]
        done, code = world.json("quarantine", "purge", wanted["id"], "--reason", "pictures")
        assert (0, [wanted["id"]]) == (code, [each["id"] for each in done])
        assert not (world.root / "quarantine" / wanted["place"]).exists()
        assert "pictures" in (world.root / "history" / "decisions.jsonl").read_text()
