"""`watcher history`: listed, shown, staged again, purged."""

import os

import pytest
from imaging import told
from makers import make_dicom
from world import World

EXTRA = "[projects.P1]\n[projects.P2]\nauto_archive = false"
LABELS = ("LIST", "SHOW", "BACK", "TABLE", "TWICE", "PURGE", "TABLED", "CLASH")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A deleted session of its own for every test of this module."""
    made = World(tmp_path_factory.mktemp("history"), project="P2", extra=EXTRA)
    for number, label in enumerate(LABELS):
        put(made, label, number)
    assert made.once()[0] == 0
    ids = [each["id"] for each in made.sessions.values()]
    assert made.watcher("delete", *ids, "--reason", "phantom")[0] == 0
    return made


def put(world, label, number, **values):
    study = f"1.2.{number}"
    return make_dicom(
        world.drop / label,
        study=study,
        series=f"{study}.1",
        sop=f"{study}.9",
        patient_id=label,
        **values,
    )


def entry(world, label):
    found, _ = world.json("history", "list")
    return next(each for each in found if each["label"] == label)


class TestLooking:
    """`list` and `show`."""

    def test_what_was_deleted_is_listed(self, world, capsys):
        """With who, when and why; of one project, or of all."""
        found = entry(world, "LIST")
        assert ("deleted", "P2", 2, "phantom", "delete") == tuple(
            found[word] for word in ("kind", "project", "files", "reason", "command")
        )
        assert found["id"] == f"P2/LIST/{found['session']}"
        code, text = told(capsys, world.config, "history", "list", "--project", "p2")
        assert (0, True, True) == (code, found["id"] in text, "phantom" in text)
        assert ([], 0) == world.json("history", "list", "--project", "P1")
        code, text = told(capsys, world.config, "history", "list", "--project", "P1")
        assert (0, "nothing in the history fits") == (code, text.strip())

    def test_one_entry_is_shown_with_its_files(self, world, capsys):
        """Any unambiguous part means it; every file with its size."""
        found, code = world.json("history", "show", "SHOW")
        assert 0 == code
        assert ["SCANS/1/DICOM"] == list(
            dict.fromkeys(os.path.dirname(each["path"]) for each in found["paths"])
        )
        assert found["bytes"] == sum(each["bytes"] for each in found["paths"])
        code, text = told(capsys, world.config, "history", "show", "SHOW")
        assert (0, True) == (code, "reason: phantom" in text)
        assert "scan_1_catalog.xml" in text

    @pytest.mark.parametrize("words", [("show", "nobody"), ("show", "P2"), ("restore",)])
    def test_none_or_an_ambiguous_one_is_a_fault_of_usage(self, world, words):
        """2, and nothing changed."""
        assert 2 == world.watcher("history", *words, *REASON[: 2 * (words[0] != "show")])[0]


REASON = ("--reason", "deleted by mistake")


class TestRestoring:
    """`restore`."""

    def test_a_session_is_back(self, world):
        """Under its id, READY, not archived; the entry is gone."""
        wanted = entry(world, "BACK")
        done, code = world.json("history", "restore", wanted["id"], *REASON)
        assert (0, wanted["session"], "READY") == (code, done[0]["id"], done[0]["status"])
        assert 2 == world.watcher("history", "show", wanted["id"])[0]

    def test_several_for_people(self, world, capsys):
        """A table of the sessions; one that is refused stops no other, and gives its code."""
        wanted = entry(world, "TABLE")["id"]
        gone = world.root / "history" / entry(world, "TWICE")["id"]
        for path in gone.rglob("*.dcm"):
            path.unlink()
        code, text = told(capsys, world.config, "history", "restore", wanted, "TWICE", *REASON)
        assert (4, True) == (code, "READY" in text)

    def test_what_disagrees_with_the_archive_is_said(self, world):
        """3: the session is back, and something stands against archiving it."""
        put(world, "CLASH", 7, PatientAge="042Y")
        world.once()
        assert 0 == world.watcher("archive", world.sessions["CLASH"]["id"])[0]
        done, code = world.json("history", "restore", "CLASH", *REASON)
        assert (3, "CONFLICT") == (code, done[0]["status"])

    def test_it_wants_a_reason(self, world):
        """2 without one."""
        assert 2 == world.watcher("history", "restore", entry(world, "LIST")["id"])[0]


class TestPurging:
    """`purge`."""

    def test_it_is_gone_for_good(self, world, capsys):
        """0; the entry, its documents and its folders are gone; the decision is found."""
        wanted = entry(world, "PURGE")
        done, code = world.json("history", "purge", wanted["id"], "--reason", "withdrawn")
        assert (0, [wanted]) == (code, done)
        assert not (world.root / "history" / "P2" / "PURGE").exists()
        assert "withdrawn" in (world.root / "history" / "decisions.jsonl").read_text()
        wanted = entry(world, "TABLED")["id"]
        code, text = told(capsys, world.config, "history", "purge", wanted, "--reason", "x")
        assert (0, True) == (code, wanted in text)
