"""A crash at every step of: copies in place of links, as where archive and prearchive lie on two
file systems, or on one that knows no links; and of `refresh`.
"""

import os
import random
import re
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from faults import scenes
from faults.trials import SLOW, Case, Trial, told

pytestmark = [pytest.mark.faults, pytest.mark.campaign]


class Across(Trial):
    """The archive is on another file system than all the rest."""

    def copy(self, name):
        root = super().copy(name)
        archive = Path(root, "store/archive")
        away = tempfile.mkdtemp(dir=self.elsewhere)
        if archive.exists():
            shutil.copytree(archive, away, dirs_exist_ok=True)
            shutil.rmtree(archive)
        archive.parent.mkdir(exist_ok=True)
        archive.symlink_to(away)  # for those who look there
        config = Path(root, "w.toml")
        text = config.read_text().replace("[storage]", f'[storage]\narchive = "{away}"')
        config.write_text(text)
        return root


class WithoutLinks(Trial):
    """No file system here knows links."""

    def _run(self, driver, root, **more):
        return super()._run(driver, root, links=False, **more)

    def _done(self, driver, root, **more):
        return super()._done(driver, root, links=False, **more)


@pytest.fixture
def elsewhere(tmp_path):
    if not os.access("/dev/shm", os.W_OK) or os.stat("/dev/shm").st_dev == tmp_path.stat().st_dev:
        pytest.skip("/dev/shm is no other file system")
    folder = tempfile.mkdtemp(dir="/dev/shm", prefix="watcher-")
    yield folder
    shutil.rmtree(folder)


def tried(trial, drivers, points):
    """The verdicts of some crash points, of the first and the last among them; of all if SLOW."""
    count = len(trial.effects)
    even = {1 + round(each * (count - 1) / (points - 1)) for each in range(points)}
    chance = random.Random(count)
    jobs = [(point, 0) for point in (range(1, count + 1) if SLOW else sorted(even))]
    jobs += [(point, chance.randint(1, 40)) for point, _ in jobs[2 :: 1 if SLOW else 6]]
    with ThreadPoolExecutor(len(drivers)) as pool:
        return list(pool.map(lambda job: trial.at(*job), jobs))


ACROSS = {
    "first archiving": Case((scenes.archived,)),
    "merge": Case((scenes.archived, scenes.late)),
    "merge with replacements": Case((scenes.overwriting, scenes.late_replacing)),
}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ACROSS)
def test_killed_anywhere_while_archiving_across_file_systems(
    name, tmp_path, drivers, row, elsewhere
):
    """The archive gets copies; killed before any effect, a start ends as the undisturbed run."""
    Across.elsewhere = elsewhere
    trial = Across(ACROSS[name], tmp_path, drivers)
    assert [each for each in trial.effects if "open store/archive/" in each and ".dcm.new" in each]
    verdicts = tried(trial, drivers, 6)
    told(row(f"kill -9: {name} across file systems", "before an effect, in the program"), verdicts)


BARE = {
    "archive": Case((scenes.two_drops, scenes.both_filled)),
    "merge with replacements": Case((scenes.overwriting, scenes.late_replacing)),
}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", BARE)
def test_killed_anywhere_where_no_links_are_known(name, tmp_path, drivers, row):
    """Names are reserved by empty files of ours: none of them is left, and none of others goes."""
    trial = WithoutLinks(BARE[name], tmp_path, drivers)
    assert not [each for each in trial.effects if "os.link" in each]
    verdicts = tried(trial, drivers, 6)
    told(row(f"kill -9: {name} without links", "before an effect, in the program"), verdicts)


class Refreshed(Trial):
    """A command, typed again where it was killed."""

    def _done(self, driver, root, **more):
        words = ["refresh", "AUTO/P1"]
        return driver(config=f"{root}/w.toml", words=words, **more)

    def _is_done(self, root):
        return False

    def _end(self, root):
        """Every try stands in the session's own log, also those that were killed."""
        end = super()._end(root)
        del end["stores"]["archive/AUTO/arc001/P1/logs/events.jsonl"]
        return end


def broken(root):
    """One catalog and the session XML are none, another catalog has lost the UIDs."""
    base = Path(root, "store/archive/AUTO/arc001")
    other, poor = sorted(base.glob("P1/SCANS/*/DICOM/*_catalog.xml"))
    other.write_bytes(b"<other/>")
    poor.write_text(re.sub(r' UID="1\.2\.3\.9\.\d+"', "", poor.read_text()))
    (base / "P1.xml").write_bytes(b"<other/>")


@pytest.mark.timeout(900)
def test_refresh_killed_anywhere_is_finished_by_the_next_one(tmp_path, drivers, row):
    """Typed again it does the rest: what was broken is in the history once, the documents true."""
    case = Case((scenes.archived, broken), "refresh")
    trial = Refreshed(case, tmp_path, drivers)
    verdicts = tried(trial, drivers, 6)
    told(row("kill -9: refresh", "before an effect, in the program"), verdicts)
