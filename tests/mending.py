"""What the doctor finds at the places of a configuration, and its commands carried out."""

import os
import subprocess

from watcher.commands.check import place_lines
from watcher.commands.looked import scene
from watcher.commands.machine_check import machine_lines
from watcher.report.checked import exit_code
from watcher.settings import load

MACHINE = frozenset({"clock", "inotify", "libraries", "memory", "open files", "user"})
"""What is said of the host a test runs on, whatever that is."""


def places(config):
    """Exit code and lines for drops, stores, log and units: all of a check but the machine."""
    lines = list(place_lines(scene(load(str(config)))))
    return exit_code(lines), lines


def faulty(config):
    """The same, but for what is well."""
    code, lines = places(config)
    return code, [line for line in lines if line.severity != "ok"]


def machine(config, of):
    """What is said of one part of the machine, but for what is well."""
    lines = machine_lines(scene(load(str(config)))) if of else ()
    return [line for line in lines if line.of == of and line.severity != "ok"]


def carry_out(command, base, **shims):
    """Paste a command into a shell; `sudo` and further programs are scripts of the test's own."""
    folder = base / "shims"
    folder.mkdir(exist_ok=True)
    for name, text in {"sudo": 'exec "$@"', **shims}.items():
        script = folder / name
        script.write_text(f"#!/bin/sh\n{text}\n")
        script.chmod(0o755)
    path = f"{folder}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "EDITOR": str(folder / "editor")}
    done = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout
