"""The bounds of a unit: from its files, and from the kernel where this process is one of it."""

import resource

import pytest

from watcher.io import memory
from watcher.io.units import Unit

GIB = 1 << 30


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A machine of 8 GiB; this process is in a login's control group, which has 300 MiB."""
    (tmp_path / "meminfo").write_text(f"MemTotal: {8 << 20} kB\n")
    for group in ("user.slice", "system.slice/watcher.service"):
        (tmp_path / group).mkdir(parents=True)
        (tmp_path / group / "memory.max").write_text(f"{300 << 20}\n")
    (tmp_path / "cgroup").write_text("0::/user.slice\n")
    monkeypatch.setattr(memory, "MACHINE", str(tmp_path / "meminfo"))
    monkeypatch.setattr(memory, "GROUPS", str(tmp_path / "cgroup"))
    monkeypatch.setattr(memory, "TREE", str(tmp_path))
    return tmp_path


def unit(**values):
    return Unit("watcher.service", {key: (value,) for key, value in values.items()})


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("", 8 * GIB),
        ("infinity", 8 * GIB),
        ("64G", 8 * GIB),
        ("400M", 400 << 20),
        ("1.5G", 3 * GIB // 2),
        ("536870912", 512 << 20),
        ("25%", 2 * GIB),
        ("lots", 8 * GIB),
    ],
)
def test_a_unit_s_memory_is_what_its_files_say(elsewhere, said, expected):
    """Whatever the control group of this shell has."""
    assert expected == memory.room(unit(MemoryMax=said)).bytes
    assert 300 << 20 == memory.room().bytes


def test_a_process_of_the_unit_sees_its_bounds(elsewhere):
    """As ExecStartPre= does: the kernel's word counts, not the files'."""
    (elsewhere / "cgroup").write_text("0::/system.slice/watcher.service\n")
    found = memory.room(unit(MemoryMax="4G"))
    assert memory.Room(300 << 20, "/system.slice/watcher.service") == found
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == memory.open_files(unit(LimitNOFILE="9"))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("", (1024, 524288)),
        ("200", (200, 200)),
        ("200:4096", (200, 4096)),
        ("many", (1024, 524288)),
    ],
)
def test_a_unit_s_open_files_are_what_its_files_say(elsewhere, said, expected):
    """The defaults of systemd where they say nothing that it would take."""
    assert expected == memory.open_files(unit(LimitNOFILE=said))
    assert memory.open_files(unit(LimitNOFILE="infinity"))[0] > 1 << 30
