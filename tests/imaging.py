"""An installation with something of everything, made by real runs; for the reading commands.

PROJ1/S001 is archived (two scans); another study of that label is in CONFLICT beside it. A session
without project is in CONFLICT, one of PROJ2 is READY. Two entries are in quarantine: a text file
and a DICOM file without its study. Of the drop a file is said to be stuck.
"""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace

from lines import checked_lines
from makers import CT, MR, make_dicom

from watcher import cli
from watcher.assembly import command_parts
from watcher.settings import load

CONFIG = """
[storage]
root = "{base}/imaging"
reserve = "1MiB"
[[drop]]
path = "{base}/mri"
settle = "100ms"
[[drop]]
path = "{base}/quiet"
after = "keep"
[projects.PROJ1]
[projects.PROJ2]
auto_archive = false
[log]
file = "{base}/watcher.jsonl"
"""


def configure(base, *, text=CONFIG, more=""):
    """A configuration below `base`, with its drops made; gives its path."""
    for name in ("mri", "quiet"):
        os.makedirs(base / name, exist_ok=True)
    path = Path(base, "watcher.toml")
    path.write_text(text.format(base=base) + more)
    return path


def run_once(config, *, expected):
    """One real run; asserts its exit code."""
    command = [sys.executable, "-m", "watcher", "run", "--once", "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == expected, done.stderr + done.stdout
    assert len(checked_lines(done.stdout)) == len(done.stdout.splitlines())
    return done


def ask(capsys, config, *words):
    """A command called as typed, with --json: its exit code and its document."""
    capsys.readouterr()
    code = cli.call([*words, "--json", "--config", str(config)])
    said = capsys.readouterr()
    checked_lines(said.err)
    return code, json.loads(said.out) if said.out else said.err


def told(capsys, config, *words):
    """The same for people: exit code and everything printed."""
    capsys.readouterr()
    code = cli.call([*words, "--config", str(config)])
    said = capsys.readouterr()
    checked_lines(said.err)
    return code, said.out + said.err


def installation(factory):
    """The installation, made once in a test session; `factory` is pytest's tmp_path_factory."""
    return _made(factory.getbasetemp() / "installation")


@cache
def _made(base):
    base.mkdir()
    config = configure(base)
    drop = base / "mri"
    first = {"study": "1.2.10", "patient_id": "S001", "patient_name": "DOE^JANE"}
    for number in (1, 2):
        make_dicom(
            drop / "first" / f"IM{number}.dcm",
            series=f"1.2.10.{number}",
            sop=f"1.2.10.{number}.1",
            number=number,
            sop_class=MR,
            modality="MR",
            description="PROJ1",
            SeriesDescription=f"localizer {number}",
            **first,
        )
    run_once(config, expected=0)
    other = {"study": "1.2.11", "series": "1.2.11.1", "sop": "1.2.11.1.1", "sop_class": CT}
    make_dicom(
        drop / "second" / "IM9.dcm",
        patient_id="S001",
        patient_name="DOE^JANE",
        description="PROJ1",
        **other,
    )
    make_dicom(drop / "nobody" / "IM8.dcm", study="1.2.12", series="1.2.12.1", sop="1.2.12.1.1")
    make_dicom(
        drop / "waits" / "IM7.dcm",
        study="1.2.13",
        series="1.2.13.1",
        sop="1.2.13.1.1",
        patient_id="S003",
        description="PROJ2",
    )
    (drop / "first").mkdir(exist_ok=True)
    (drop / "first" / "notes.txt").write_text("not DICOM at all")
    make_dicom(drop / "second" / "nostudy.dcm", study=None, sop="1.2.14.1")
    run_once(config, expected=3)
    settings = load(str(config))
    with command_parts(settings) as parts:
        ids = {each.study: each.id for each in parts.ledger.sessions()}
        for drop, path in (("mri", "second/torn"), ("mri", "first/torn"), ("quiet", "second/torn")):
            key = f"file/{drop}/0123456789abcde{len(path)}"
            parts.conditions.raise_("file.stuck", key, parts.clock.now(), drop=drop, path=path)
        archived = parts.registry.shelf("PROJ1", "S001").session
    return SimpleNamespace(
        base=base,
        config=config,
        settings=settings,
        conflict=ids["1.2.11"],
        unassigned=ids["1.2.12"],
        ready=ids["1.2.13"],
        archived=archived,
    )


def tree(base):
    """Every file below with its bytes and times, but for the locks SQLite and leases touch."""
    found = {}
    for path in sorted(Path(base).rglob("*")):
        if path.is_file() and not path.name.endswith(("-wal", "-shm")):
            status = path.stat()
            found[str(path.relative_to(base))] = (path.read_bytes(), status.st_mtime_ns)
    return found
