"""What a person does with history and quarantine, killed before its N-th effect and typed again."""

import hashlib
import random
import shutil
from pathlib import Path

import pytest
from faults import scenes
from faults.trials import SLOW, Driver
from makers import make_dicom

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]
REASON = ("--reason", "x")
ONCE = ("run", "--once")
SCENES = {
    "restore": ("history", "restore", "HELD", *REASON),
    "history purge": ("history", "purge", "HELD", *REASON),
    "requeue": ("quarantine", "requeue", "--drop", "d"),
    "quarantine purge": ("quarantine", "purge", "missing", *REASON),
}


@pytest.fixture(scope="module")
def driver():
    """One process that carries out command lines, one after the other."""
    with Driver() as process:
        yield lambda root, words, **more: process(config=f"{root}/w.toml", words=words, **more)


@pytest.fixture(scope="module")
def beginning(driver, tmp_path_factory):
    """A session of two files, deleted; a file without study and a note, set aside."""
    root = tmp_path_factory.mktemp("typed") / "beginning"
    scenes.furnish(root, d='project = "HELD"\ninactivity = "1s"')
    for number in (1, 2):
        make_dicom(root / f"drops/d/in/{number}", sop=f"1.2.9.{number}", instance=number)
    make_dicom(root / "drops/d/in/bad", study=None, sop="1.2.9.3")
    (root / "drops/d/in/notes.txt").write_text("notes")
    assert driver(root, ONCE)["code"] == 3
    assert driver(root, ("delete", "HELD", *REASON))["code"] == 0
    config = root / "w.toml"  # from now on only a hold keeps a session from the archive
    config.write_text(config.read_text().replace("auto_archive = false", "auto_archive = true"))
    return root


def digests(root, *places):
    """How often each content lies below these places, but for documents."""
    found = [
        hashlib.md5(path.read_bytes()).hexdigest()
        for place in places
        for path in sorted(Path(root, place).rglob("*"))
        if path.is_file()
        and path.suffix not in {".json", ".jsonl", ".xml", ".log", ".sqlite"}
        and not path.name.startswith(".watcher")
    ]
    return sorted(found)


PLACES = ("drops", "store/prearchive", "store/history", "store/quarantine")


@pytest.mark.parametrize("scene", SCENES)
def test_nothing_is_lost_and_the_next_try_finishes_it(driver, beginning, tmp_path, scene, row):
    """Killed anywhere: all is there at that moment, a start takes no half of it for a whole, and
    the same command typed again comes to the same end.
    """
    record = row(f"kill -9: {scene}", "before an effect, in the program")
    words = SCENES[scene]
    if scene == "quarantine purge":
        words = ("quarantine", "purge", aside(driver, beginning), *REASON)
    undisturbed, code, effects = carried_out(driver, beginning, tmp_path / "whole", words)
    assert code == 0
    expected = digests(undisturbed, *PLACES)
    before = set(digests(beginning, *PLACES))
    points = range(1, len(effects) + 1)
    if not SLOW:
        points = random.Random(scene).sample(points, min(3, len(effects)))
    for point in points:
        root, code, _ = carried_out(driver, beginning, tmp_path / str(point), words, at=point)
        assert code == -9, effects[point - 1]
        if "purge" not in scene:
            assert before <= set(digests(root, *PLACES)), effects[point - 1]
        text = f"{point} of {len(effects)}: {effects[point - 1]}"
        if scene == "restore":
            assert driver(root, ONCE)["code"] in {0, 3}, text
            assert before <= set(digests(root, *PLACES)), text
            assert [] == list(Path(root, "store/archive").rglob("*.dcm")), text
        again = driver(root, words)["code"]  # 2: it was done but for its last words
        assert again in {0, 2, 4}, (text, Path(root, "output").read_text())
        assert expected == digests(root, *PLACES), (text, Path(root, "output").read_text())
        assert [] == halves(root), text
        record.ran()
        shutil.rmtree(root)


def aside(driver, root):
    """The id of the entry of the file without study."""
    (place,) = Path(root, "store/quarantine").rglob("bad")
    return place.parent.name


def carried_out(driver, beginning, root, words, **more):
    scenes.copied(beginning, root)
    answer = driver(root, words, **more)
    return root, answer["code"], answer["effects"]


def halves(root):
    """What a crash left half written."""
    return [str(path) for place in ("store", "drops") for path in Path(root, place).rglob(".*.new")]
