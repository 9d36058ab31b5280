"""`watcher verify` and `watcher refresh`, as typed, on an archive made by a real run."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from archives import flip
from makers import make_dicom
from world import World

from watcher.assembly import command_parts
from watcher.io.lease import destination_key
from watcher.settings import load

NAMES = ("project", "label", "files", "verdict", "findings")


def put(world, label, study, *numbers):
    for number in numbers:
        make_dicom(
            world.drop / f"{label}-{number}",
            study=study,
            series=f"{study}.1",
            sop=f"{study}.9.{number}",
            instance=number,
            patient_id=label,
        )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two archived sessions."""
    world = World(tmp_path_factory.mktemp("verify"))
    put(world, "S1", "1.2.1", 1, 2)
    put(world, "S2", "1.2.2", 1)
    assert 0 == world.once()[0]
    return world


def folder(world, label):
    return world.root / "archive" / "P1" / "arc001" / label


@pytest.fixture
def broken(made):
    """One flipped byte in S1, mended afterwards."""
    (path, *_) = sorted(folder(made, "S1").rglob("*.dcm"))
    flip(path)
    yield path
    flip(path)
    assert 0 == made.watcher("verify", "P1/S1")[0]


@pytest.fixture
def unlisted(made):
    """S2 without its catalog, made again afterwards."""
    (catalog,) = folder(made, "S2").rglob("*_catalog.xml")
    catalog.unlink()
    yield catalog
    made.watcher("refresh", "P1/S2")
    assert catalog.exists()


class TestVerify:
    """The archive is checked."""

    def test_a_sound_archive(self, made):
        """Every session, ok: exit 0."""
        found, code = made.json("verify")
        assert (0, [("P1", "S1", 2, "ok", []), ("P1", "S2", 1, "ok", [])]) == (
            code,
            [
                tuple(one[n] for n in ("project", "label", "files", "verdict", "findings"))
                for one in found
            ],
        )
        assert all(one["bytes"] > 0 for one in found)
        code, text = made.watcher("verify", "P1")
        assert (0, True, True) == (code, "S1" in text, "ok" in text)

    def test_damage(self, made, broken):
        """Exit 3; the finding with its session, path and text; said to the log once."""
        found, code = made.json("verify", "P1/S1")
        path = str(broken.relative_to(folder(made, "S1")))
        (finding,) = found[0]["findings"]
        assert (3, "damaged", "changed", "P1", "S1", path) == (
            code,
            found[0]["verdict"],
            *(finding[name] for name in ("code", "project", "label", "path")),
        )
        assert "archive.damaged" in made.errors
        code, text = made.watcher("verify", "P1/S1")
        assert (3, True, True) == (code, path in text, "watcher refresh" in text)
        assert "archive.damaged" not in made.errors

    @pytest.mark.parametrize("name", ["P9", "P1/S9"])
    def test_an_unknown_name(self, made, name):
        """Exit 2."""
        assert 2 == made.watcher("verify", name)[0]

    def test_a_missing_store(self, made):
        """Exit 10, and nothing is concluded from it."""
        marker = made.root / "archive" / ".watcher-store"
        marker.rename(marker.with_name("aside"))
        try:
            assert [10, 10] == [made.watcher(*w)[0] for w in (("verify",), ("refresh", "P1/S1"))]
        finally:
            marker.with_name("aside").rename(marker)

    def test_progress_on_a_terminal(self, made):
        """On a terminal it shows how far it is, and standard output stays one document."""
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "watcher", "verify", "--json"]
        with subprocess.Popen(
            [*command, "--config", str(made.config)], stdout=subprocess.PIPE, stderr=theirs
        ) as process:
            os.close(theirs)
            shown = b""
            try:
                while block := os.read(ours, 1000):
                    shown += block
            except OSError:  # the other end is closed
                pass
            said = process.stdout.read()
        os.close(ours)
        assert (0, True) == (process.returncode, b"Verifying" in shown)
        assert 2 == len(json.loads(said))


class TestRefresh:
    """Documents are mended."""

    def test_it_says_what_changed(self, made, unlisted):
        """A catalog that is gone: 0, its path and what was done; verify agrees."""
        path = str(unlisted.relative_to(folder(made, "S2")))
        (done,), code = made.json("refresh", "P1/S2")
        assert (0, "P1", "S2", []) == (code, done["project"], done["label"], done["findings"])
        assert [{"path": path, "what": "made again from its files: 1 entries"}] == done["changed"]
        assert 0 == made.watcher("verify")[0]
        code, text = made.watcher("refresh", "P1/S2")
        assert (0, "P1/S2: nothing to mend\n") == (code, text)

    def test_lines_for_people(self, made, unlisted):
        """One line for each change."""
        code, text = made.watcher("refresh", "P1/S2")
        assert (0, True) == (code, "scan_1_catalog.xml: made again from its files" in text)

    def test_damage_stays_until_it_is_accepted(self, made, broken):
        """Exit 3 and the finding; with --accept-changed and a reason exit 0."""
        code, text = made.watcher("refresh", "P1/S1")
        assert (3, True) == (code, "changed" in text)
        assert 2 == made.watcher("refresh", "P1/S1", "--accept-changed")[0]
        assert 3 == made.watcher("refresh", "P1/S1", "--reason", "not accepted")[0]
        accept = ("--accept-changed", "--reason", "phantom")
        done, code = made.json("refresh", "P1/S1", *accept)
        assert (0, []) == (code, done[0]["findings"])
        assert "session.decided" in made.errors
        flip(broken)  # back, and accepted again
        assert 0 == made.watcher("refresh", "P1/S1", *accept)[0]
        flip(broken)
        assert 3 == made.watcher("verify", "P1/S1")[0]

    @pytest.mark.parametrize("words", [(), ("P1",), ("P1/S9",), ("P9/S1",)])
    def test_what_is_no_archived_session(self, made, words):
        """Exit 2."""
        assert 2 == made.watcher("refresh", *words)[0]

    def test_one_that_is_held(self, made, unlisted):
        """Exit 4, who holds it; the others are mended all the same."""
        with (
            command_parts(load(Path(made.config))) as parts,
            parts.leases.hold([destination_key("P1", "S1")], parts.clock.now()),
        ):
            assert 4 == made.watcher("refresh", "P1/S1")[0]
            code, text = made.watcher("refresh", "P1/S1", "P1/S2")
        assert (4, True) == (code, "made again" in text)
        assert "P1/S1: archive/P1/s1 is held by" in made.errors
