"""Upgrades and the way back as `deploy/procedures.md` has them, with real older versions."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest
from deploy.procedures import HERE, OPEN, PROGRAM, Site, fill, put
from faults.machine import needs
from world import until

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(1200)]  # a venv, many awaits
LAST = "0.5.0"  # the way back leads to it


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Gives the sources of an earlier version, as they were last; skips where git has none."""
    base = tmp_path_factory.mktemp("sources")

    def of(version):
        target = base / version
        if not target.exists():
            target.mkdir()
            archive = _git("archive", _last(version), "watcher")
            subprocess.run(["tar", "-x", "-C", target], input=archive, check=True)
        return target

    return of


def _git(*words):
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    safe = f"safe.directory={HERE}"
    done = subprocess.run(["git", "-C", HERE, "-c", safe, *words], capture_output=True)
    if done.returncode:
        pytest.skip(f"no history of this clone: {done.stderr.decode().strip()}")
    return done.stdout


def _last(version):
    """The commit before the one that made it the next version."""
    line = f'__version__ = "{version}"'
    words = ("log", "--format=%H", f"-S{line}", "--", "watcher/__init__.py")
    changed = _git(*words).decode().split()
    if not changed:
        pytest.skip(f"the history of this clone has no {version}")
    return f"{changed[0]}~1"


@pytest.fixture
def source(tmp_path):
    """A clone of this version, as it lies here."""
    clone = tmp_path / "clone"
    clone.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(HERE / name, clone)
    shutil.copytree(HERE / "watcher", clone / "watcher", ignore=shutil.ignore_patterns("__py*"))
    return clone


@pytest.fixture
def libraries(tmp_path, monkeypatch):
    """What the program needs is taken from here: only it itself is installed."""
    folder = Path(pydicom.__file__).parents[1]
    (tmp_path / "libraries").mkdir()
    for each in folder.iterdir():
        if "prearchive" not in each.name:
            (tmp_path / "libraries" / each.name).symlink_to(each)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "libraries"))


def version(site):
    done = subprocess.run(
        [f"{site.installed}/bin/watcher", "--version"], capture_output=True, text=True, cwd="/"
    )
    return done.stdout.split()[-1]


def started(site):
    return [each["version"] for each in site.supervisor.events if each["event"] == "daemon.started"]


def names(site):
    """All but the columns that a version added to what it lists."""
    found = site.picture()
    return {**found, "waiting": {key: each[:3] for key, each in found["waiting"].items()}}


@pytest.mark.parametrize("old", ["0.3.0", "0.5.0"])
def test_up_and_back_with_sessions_open(old, sources, source, libraries, tmp_path):
    """What one version opened the other carries on and finishes; that of the last, both ways."""
    needs("rsync")
    site = Site(tmp_path / "site")
    shutil.rmtree(site.installed)
    site.install(sources(old))
    with site.supervised() as supervisor:
        supervisor.do("start")
        fill(site)
        before = names(site)
        site.run("To a new version", SOURCE=source)
        assert [old, version(site)] == started(site)
        assert old != version(site)
        assert before == names(site)
        ids = {key: each[0] for key, each in site.sessions().items()}
        site.decide("archive", ids["R", "1.2.4"])
        put(site.base / "slow", "W", "1.2.5", instance=2)
        put(site.base / "slow", "V", "1.2.8")
        put(site.world.drop, "B", "1.2.7", instance=2)  # the forced merge binds it
        put(site.world.drop, "B", "1.2.10")
        until(site.world.archived, lambda found: len(found) == len(before["archived"]) + 2)
        left = {key: each for key, each in OPEN.items() if key != ("R", "1.2.4")}
        more = {("B", "1.2.10"): "CONFLICT", ("V", "1.2.8"): "RECEIVING"}
        site.until_statuses({**left, **more})
        until(site.sessions, lambda found: found["W", "1.2.5"][3] == 2)
        between = names(site)
        if old == LAST:
            site.run("Back to the one before")
            assert old == version(site) == started(site)[-1]
            assert between == names(site)
        for each in site.sessions().values():
            words = ("--force", "--reason", "one examination") if each[2] == "CONFLICT" else ()
            site.decide("archive", each[0], *words)
        site.until_statuses({})
        assert len(between["archived"]) + 5 == len(site.world.archived())
        assert [] == site.verify()
        assert [] == site.world.uncatalogued()


CUT = """
import os, sys
from watcher.stages import carrying
from watcher.cli import call
carrying.{step} = lambda *_: os._exit(9)
call(["run", "--once", "--config", sys.argv[1]])
"""


@pytest.mark.parametrize("step", ["carry_out", "clear_away"])
@pytest.mark.parametrize(("first", "then"), [("0.5.0", ""), ("", "0.5.0"), ("0.3.0", "")])
def test_a_plan_of_the_other_version_is_carried_on(first, then, step, sources, tmp_path):
    """Cut off before the first and after the last swap of an archiving, by one version."""
    needs("rsync")
    site = Site(tmp_path)
    put(site.world.drop, "A", "1.2.1")
    put(site.world.drop, "A", "1.2.1", instance=2)
    environment = {**os.environ, "PYTHONPATH": str(sources(first) if first else HERE)}
    cut = [sys.executable, "-P", "-c", CUT.format(step=step), str(site.config)]
    done = subprocess.run(cut, env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert 9 == done.returncode, done.stderr
    plans = list((site.root / "prearchive").rglob("*.plan.json"))
    assert 1 == len(plans)
    path = sources(then) if then else HERE
    text = PROGRAM.format(python=sys.executable, path=path)
    site.script(f"{site.installed}/bin/watcher", text)
    with site.supervised() as supervisor:
        supervisor.do("start")
        site.until_statuses({})
        until(lambda: [each for each in plans if each.exists()], lambda found: not found)
        assert 2 == len(site.world.archived())
        assert [] == site.verify()
        assert [] == site.world.prearchive()
