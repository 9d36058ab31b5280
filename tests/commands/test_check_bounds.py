"""`watcher check`: the bounds of memory and open files are those of whoever runs the daemon."""

import resource

import pytest
from imaging import configure
from mending import carry_out, machine

from watcher.io import memory, units

UNIT = "[Service]\nExecStart=/opt/watcher/bin/watcher run --config {config}\n{more}\n"


@pytest.fixture
def base(tmp_path, monkeypatch):
    """A shell with little memory and few open files; the machine's units are those in `etc`."""
    configure(tmp_path)
    monkeypatch.setattr(units, "FOLDERS", (str(tmp_path / "etc"),))
    (tmp_path / "meminfo").write_text(f"MemTotal: {8 << 20} kB\n")
    (tmp_path / "user.slice").mkdir()
    (tmp_path / "user.slice" / "memory.max").write_text(f"{300 << 20}\n")
    (tmp_path / "cgroup").write_text("0::/user.slice\n")
    monkeypatch.setattr(memory, "MACHINE", str(tmp_path / "meminfo"))
    monkeypatch.setattr(memory, "GROUPS", str(tmp_path / "cgroup"))
    monkeypatch.setattr(memory, "TREE", str(tmp_path))
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, before[1]))
    yield tmp_path
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def unit(base, more):
    (base / "etc").mkdir(exist_ok=True)
    text = UNIT.format(config=base / "watcher.toml", more=more)
    (base / "etc" / "watcher.service").write_text(text)


def found(base):
    return [line for of in ("memory", "open files") for line in machine(base / "watcher.toml", of)]


def test_a_shell_s_bounds_are_not_the_unit_s(base):
    """Without a unit the daemon has the shell's; where one is installed it has its own."""
    few, files = found(base)
    assert ("free -h", "ulimit -n 1024") == (few.command, files.command)
    assert "this shell" in files.text
    unit(base, "")
    assert [] == found(base)


def test_a_unit_s_bounds_are_raised_and_none_is_lowered(base):
    """By a drop-in that counts after the others; what it may ask for beyond stays."""
    unit(base, "MemoryMax=400M\nLimitNOFILE=200:65536")
    for line in found(base):
        assert "watcher.service" in line.text
        command = line.command.replace("/etc/systemd/system", str(base / "etc"))
        carry_out(command, base, systemctl="true")
    assert [] == found(base)
    (mended,) = units.units_of(str(base / "watcher.toml"))
    assert (1024, 65536) == memory.open_files(mended)


def test_a_bound_above_the_unit_is_not_set_on_it(base):
    """Seen by a process of the unit: that of its slice would be none the better for one more."""
    unit(base, "")
    (base / "cgroup").write_text("0::/user.slice/watcher.service\n")
    few, files = found(base)
    assert "free -h" == few.command
    assert "LimitNOFILE=1024:" in files.command
