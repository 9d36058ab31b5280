"""The real daemon, ended at any moment: by kill -9, by a signal, by a second one."""

import contextlib
import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from faults import aftermath, scenes
from faults.trials import Driver
from faults.waiting import wait_until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]
TREE = str(Path(__file__).parents[2])
PATIENCE = 240.0  # seconds until something must have happened: machines are shared and slow
PROMPT = 60.0  # seconds: two are promised (spec 4), the rest is for a machine under load
MANY = 150  # files: their filing, building and archiving takes a while


def watcher(config, *words):
    """The program in a group of its own; what it says goes to a file."""
    with Path(os.path.dirname(config), "output").open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "watcher", *words, "--config", config],
            stdout=output,
            stderr=output,
            cwd=TREE,
            env=scenes.environment(),
            start_new_session=True,
        )


def started(config, event):
    """`watcher run`, once it has said this."""
    output = Path(os.path.dirname(config), "output")
    before = output.stat().st_size if output.exists() else 0
    daemon = watcher(config, "run")
    try:
        said = lambda: event.encode() in output.read_bytes()[before:]  # noqa: E731  a condition
        wait_until(said)
    except BaseException:
        killed_sometime(daemon, 0)
        raise
    return daemon


class Sender:
    """Files that arrive one by one, as a sender that copies and renames lets them.

    Six for one label, and six more for it after the others'; some come again, some have the UIDs
    of an earlier one and differ, some are of another study under the label.
    """

    def __init__(self, root):
        self.root = root
        self.sent = set()  # digests
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        for number in itertools.count(1):
            if self.stop.wait(0.1):
                return
            path = scenes.put(self.root, "linked", f".{number}.part", **self.values(number))
            self.sent.add(aftermath.md5(path))
            while os.path.exists(path):
                os.makedirs(f"{self.root}/drops/linked/a", exist_ok=True)
                with contextlib.suppress(FileNotFoundError):  # emptied, and removed by the daemon
                    os.rename(path, f"{self.root}/drops/linked/a/{number}")

    def values(self, number):
        known = {7: number - 3, 21: number - 5}.get(number % 36, number)
        label = known // 6 % 8
        study = f"1.2.5.{label}" if number % 60 == 23 else f"1.2.3.{label}"
        comment = "another" if known < number and number % 36 == 21 else None
        return {
            "patient_id": f"P{label}",
            "study": study,
            "series": f"{known % 3}",
            "sop": known,
            "ImageComments": comment,
        }

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


REASON = ("--reason", "drill")
TYPED = (
    ("archive", "--status", "CONFLICT", "--yes", "--force", "--keep", *REASON),
    ("archive", "--status", "CONFLICT", "--yes", "--force", "--overwrite", *REASON),
    ("rebuild", "--status", "READY", "--yes"),
    ("delete", "--status", "CONFLICT", "--yes", *REASON),
)


def killed_sometime(process, seconds):
    """Killed after so long, with all it started, unless it ended before."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


BOUNDED = pytest.param(15, marks=[pytest.mark.campaign, pytest.mark.timeout(1200)])
HOUR = pytest.param(3600, marks=[pytest.mark.soak, pytest.mark.timeout(5400)])


@pytest.mark.parametrize("seconds", [BOUNDED, HOUR])
def test_killed_again_and_again_while_files_arrive_it_loses_and_doubles_nothing(
    tmp_path, row, seconds
):
    """Kill -9 at random moments, of the daemon and of commands beside it: every file ends in the
    archive once, or where a conflict or a person put it, and every catalog is true.
    """
    root = str(tmp_path)
    config = scenes.furnish(root, linked='project = "AUTO"\ninactivity = "500ms"')
    record = row("kill -9 at random", "daemon and commands, while files arrive")
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    until = time.monotonic() + seconds
    with Sender(root) as sender:
        for times, typed in enumerate(itertools.cycle(TYPED)):
            daemon = started(config, "daemon.ready")
            killed_sometime(watcher(config, *typed), chance.uniform(0.5, 6.0))
            assert daemon.poll() is None, Path(root, "output").read_text()[-5000:]
            killed_sometime(daemon, chance.uniform(0.0, 1.0))
            killed_sometime(started(config, "daemon.started"), chance.uniform(0.0, 0.5))
            record.ran(torn=len(aftermath.wrong_entries(root)))
            if times > 2 and time.monotonic() > until:
                break
    assert watcher(config, "run", "--once").wait(PATIENCE) in {0, 3}
    assert [] == aftermath.lost(root, sender.sent)
    found = [aftermath.md5(path) for path in Path(root, "store/archive").rglob("*.dcm")]
    assert found
    assert (len(found), set()) == (len(set(found)), set(found) - sender.sent)
    assert [] == aftermath.wrong_entries(root) + aftermath.uncatalogued(root)
    assert [] == aftermath.leftovers(root) + aftermath.unfound(root)
    assert set() == aftermath.dropped(root)
    assert [] == [row for row in aftermath.ledger(root)["instances"] if row[-1]]


@pytest.fixture
def driver():
    with Driver() as process:
        yield process


AT_WORK = {  # the effect that is stopped before, and what would come after that work
    "filing": ("os.link store/prearchive/AUTO/", "4-MR1/DICOM"),
    "building": ("4-MR1/DICOM", "store/archive/AUTO"),
    "archiving": ("os.link store/archive/AUTO/", "arc001/P1.xml"),
    "last swap": ("os.rename store/archive/AUTO/arc001/P1.xml", "os.link"),
}


@pytest.mark.parametrize("work", AT_WORK)
def test_sigterm_at_work_ends_soon_and_the_next_start_carries_on(work, tmp_path, driver, row):
    """SIGTERM while it files, builds or archives: exit 0 and no further work, and nothing lost."""
    root = str(tmp_path)
    config = scenes.furnish(root, linked='project = "AUTO"')
    for number in range(1, MANY + 1):
        scenes.put(root, "linked", f"a/{number}", sop=number, series=number % 3)
    inputs = aftermath.dropped(root)
    effect, next_work = AT_WORK[work]
    driver.ask(config=config, do="run", match=effect, signal=signal.SIGTERM, patience=PROMPT)
    answer = driver.answer()
    output = Path(root, "output").read_text()
    assert (0, True) == (answer["code"], '"reason": "SIGTERM"' in output), output[-3000:]
    effects = answer["effects"]  # how many are done tells of the program, how long of the machine
    at = next(number for number, each in enumerate(effects) if effect in each)
    assert [] == [each for each in effects[at + 1 :] if next_work in each]
    assert [] == aftermath.lost(root, inputs) + aftermath.wrong_entries(root)
    driver.ask(config=config, do="run")
    assert 0 == driver.answer()["code"]
    assert MANY == len(list(Path(root, "store/archive").rglob("*.dcm")))
    assert [] == aftermath.leftovers(root) + aftermath.wrong_entries(root)
    row("SIGTERM at work", f"before an effect of {work}").ran()


def test_a_second_sigterm_ends_it_at_once(tmp_path, driver):
    """Stopping hangs, as on a dead mount: a second SIGTERM does not wait for it."""
    root = str(tmp_path)
    config = scenes.furnish(root, linked='project = "AUTO"')
    scenes.put(root, "linked", "a/1", sop=1)
    match, pid = "os.link store/archive/AUTO/", f"{root}/pid"
    driver.ask(
        config=config, do="run", match=match, signal=signal.SIGTERM, hang=pid, patience=PATIENCE
    )
    wait_until(lambda: os.path.lexists(pid))
    hung = int(os.readlink(pid))
    wait_until(lambda: not handles_sigterm(hung))
    began = time.monotonic()
    os.kill(hung, signal.SIGTERM)
    answer = driver.answer()
    assert -signal.SIGTERM == answer["code"]
    assert time.monotonic() - began < PROMPT
    driver.ask(config=config, do="run")
    assert 0 == driver.answer()["code"]
    assert 1 == len(list(Path(root, "store/archive").rglob("*.dcm")))


def handles_sigterm(pid):
    """Whether a process has a handler of its own (proc(5): SigCgt)."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(int(line.split()[1], 16) for line in status.splitlines() if "SigCgt" in line)
    return bool(caught & 1 << (signal.SIGTERM - 1))
