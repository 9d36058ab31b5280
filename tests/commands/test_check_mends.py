"""The doctor's commands: each is pasted into a shell, and what it mends is no longer found."""

import contextlib
import io
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from dataclasses import dataclass, replace

import pytest
from imaging import ask, configure, told
from mending import carry_out, faulty
from world import own_host

from watcher import cli
from watcher.assembly import command_parts
from watcher.commands.looked import scene
from watcher.commands.machine_check import libraries, machine_lines, metrics_lines
from watcher.io import access, memory, mounts, units
from watcher.io.database import FORMAT
from watcher.io.lookup import STORE_MOUNT, Lookup
from watcher.report.checked import Line, script
from watcher.report.mending import Mender
from watcher.settings import load

UNIT = """[Service]
Type=notify
ExecStart=/opt/watcher/bin/watcher run --config {config}
ProtectSystem=strict
TimeoutStopSec=10
ReadWritePaths=-{base}/imaging
"""


@dataclass(frozen=True)
class Case:
    """What is wrong, what is said of it, and what a person types in the editor, if need be."""

    of: str
    severity: str
    code: int
    provoke: object
    edit: str = "true"
    ran: bool = False  # an installation that has run


def replaced(old, new):
    def provoke(base):
        config = base / "watcher.toml"
        assert old in config.read_text()
        config.write_text(config.read_text().replace(old, new, 1))

    return provoke


def no_drop(base):
    (base / "mri").rmdir()


def deep_drop(base):
    replaced("/mri", "/share/of/mri")(base)


def no_store(base):
    shutil.rmtree(base / "imaging" / "history")


def no_state(base):
    shutil.rmtree(base / "imaging" / "state")


def foreign(base):
    (base / "imaging" / "archive" / ".watcher-store").write_text("f" * 32)


def open_to_all(base):
    (base / "imaging" / "archive").chmod(0o777)


def group_lost(base):
    (base / "imaging").chmod(0o2750)


def damaged(base):
    (base / "imaging" / "state" / "ledger.sqlite").write_bytes(b"no ledger" * 1000)


def other_format(base):
    with contextlib.closing(sqlite3.connect(base / "imaging" / "state" / "ledger.sqlite")) as file:
        file.execute("UPDATE meta SET value = 'other' WHERE key = ?", (FORMAT,))
        file.commit()


def file_for_folder(name):
    def provoke(base):
        if (base / name).is_dir():
            (base / name).rmdir()
        (base / name).write_text("in the way")

    return provoke


def folder_for_log(base):
    (base / "watcher.jsonl").mkdir()


def unit(**said):
    def provoke(base):
        folder = base / "etc"
        folder.mkdir()
        text = UNIT.format(config=base / "watcher.toml", base=base)
        for key, value in said.items():
            lines = [line for line in text.splitlines() if not line.startswith(f"{key}=")]
            text = "\n".join([*lines, *([f"{key}={value}"] if value else [])])
        (folder / "watcher.service").write_text(text)

    return provoke


def taken_back(base):
    unit()(base)
    (base / "etc" / "watcher.service.d").mkdir()
    paths = base / "etc" / "watcher.service.d" / "paths.conf"
    paths.write_text('[Service]\nReadWritePaths=\nReadWritePaths="-/srv/100%% other"\n')


CASES = {
    "a drop that is not there": Case("drop mri", "error", 10, no_drop),
    "with no folder above it": Case("drop mri", "error", 10, deep_drop),
    "a drop that is no mount": Case(
        *("drop mri", "error", 10, replaced("[[drop]]", "[[drop]]\nmount = true")),
        edit="sed -i '/^mount = true$/d' \"$1\"",
    ),
    "a store that is not there": Case("store history", "error", 10, no_store, ran=True),
    "a store of others": Case("store archive", "error", 10, foreign, ran=True),
    "a state that is not there": Case("store state", "warning", 0, no_state, ran=True),
    "a ledger that is damaged": Case("store state", "warning", 0, damaged, ran=True),
    "a ledger of another format": Case("store state", "warning", 0, other_format, ran=True),
    "a drop that is a file": Case(
        *("drop mri", "error", 10, file_for_folder("mri")),
        edit='mkdir "${1%/*}/new" && sed -i "s|/mri|/new|" "$1"',
    ),
    "stores below a file": Case(
        *("store archive", "error", 2, file_for_folder("imaging")),
        edit='sed -i "s|/imaging|/stores|" "$1"',
    ),
    "a log that is a folder": Case(
        *("log.file", "warning", 0, folder_for_log),
        edit='sed -i "s|/watcher.jsonl|/other.jsonl|" "$1"',
    ),
    "a store that is everybody's": Case("store archive", "warning", 0, open_to_all, ran=True),
    "stores without the root's group": Case("store archive", "warning", 0, group_lost, ran=True),
    "a log without a folder": Case(
        *("log.file", "warning", 0, replaced("/watcher.jsonl", "/a log/watcher.jsonl")),
    ),
    "a unit that shuts the drops out": Case("unit watcher.service", "warning", 0, unit()),
    "a unit that shuts all out": Case(
        *("unit watcher.service", "error", 2, unit(ReadWritePaths="")),
    ),
    "a unit with a drop-in that takes back": Case(
        *("unit watcher.service", "error", 2, taken_back),
    ),
    "a unit that hides all": Case(
        *("unit watcher.service", "error", 2, unit(PrivateTmp="yes", ReadWritePaths="/")),
    ),
    "a unit that kills": Case(
        *("unit watcher.service", "warning", 0, unit(TimeoutStopSec="1", ReadWritePaths="/")),
    ),
}


@pytest.fixture
def base(tmp_path, monkeypatch):
    """A folder with a configuration; the units of the machine are those in its `etc`."""
    configure(tmp_path)
    monkeypatch.setattr(units, "FOLDERS", (str(tmp_path / "etc"),))
    monkeypatch.setattr(access, "PATIENCE", 180.0)  # a busy machine is no dead share
    if not str(tmp_path).startswith("/tmp/"):
        monkeypatch.setattr("watcher.commands.unit_check.HIDDEN", {"PrivateTmp": (str(tmp_path),)})
    return tmp_path


def run(base):
    with contextlib.redirect_stdout(None):
        assert cli.call(["run", "--once", "--config", str(base / "watcher.toml")]) == 0


def here(command, base):
    """The machine's units are those of this test."""
    return command.replace("/etc/systemd/system", str(base / "etc"))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_is_found_is_mended_by_its_command(base, case):
    """It is said once, with its exit code, and after the command it is not found any more."""
    config = base / "watcher.toml"
    if case.ran:
        run(base)
    assert (0, []) == faulty(config)
    case.provoke(base)
    code, lines = faulty(config)
    found = [line for line in lines if line.of == case.of]
    assert [(case.severity, case.code)] == [(line.severity, line.code) for line in found]
    assert case.code == code
    for line in lines:
        carry_out(here(line.command, base), base, editor=case.edit, systemctl="true")
    assert (0, []) == faulty(config)


def test_the_whole_of_it_can_be_pasted_at_once(base, capsys):
    """Findings are comments, hostile names and all; each command stands once."""
    config = base / "watcher.toml"
    odd = base / "it's\nexit 3 # $(pwd)\\n"
    replaced("/mri", json.dumps(f"/{odd.name}")[1:-1])(base)
    replaced("/quiet", "/$HOME `no`")(base)
    _, text = told(capsys, config, "check")
    carry_out(text.partition("# what mends it:")[2].partition("# clock")[0], base)
    assert (0, []) == faulty(config)
    assert odd.is_dir()
    assert (base / "$HOME `no`").is_dir()


def test_a_name_that_is_not_utf_8_is_typed_as_it_is(base, monkeypatch):
    """The command that is printed finds the file, whatever bytes its name has."""
    config, text = base / "\udcfc.toml", io.TextIOWrapper(io.BytesIO(), "utf-8")
    (base / "watcher.toml").rename(config)
    config.write_text(config.read_text() + "[log2]\n")
    monkeypatch.setattr(sys, "stdout", text)
    assert cli.call(["check", "--config", str(config)]) == 2
    command = next(
        line for line in os.fsdecode(text.buffer.getvalue()).splitlines() if "ED" in line
    )
    carry_out(command, base, editor='sed -i /log2/d "$1"')
    assert (0, []) == faulty(config)


def test_a_damaged_ledger_does_not_keep_from_accepting(base, capsys):
    """A store that was meant is taken; what the ledger remembered is gone with it."""
    run(base)
    no_store(base)
    damaged(base)
    config = base / "watcher.toml"
    assert 0 == told(capsys, config, "check", "--accept")[0]
    assert ["store state"] == [line.of for line in faulty(config)[1]]


def test_a_ledger_that_is_no_file_is_not_opened(base):
    """A FIFO of its name would hold whoever opens it; a start could not have it: exit 2."""
    run(base)
    ledger = base / "imaging" / "state" / "ledger.sqlite"
    ledger.unlink()
    os.mkfifo(ledger)
    code, (line,) = faulty(base / "watcher.toml")
    assert (2, "store state", "error") == (code, line.of, line.severity)
    assert "is no file" in line.text


def test_stores_below_a_file_are_said_to_be_so(base):
    """No lock can be looked at there: no daemon is seen, and the check goes on."""
    file_for_folder("imaging")(base)
    assert not scene(load(str(base / "watcher.toml"))).runs()
    code, lines = faulty(base / "watcher.toml")
    assert (2, {f"{base}/imaging is no folder"}) == (code, {line.text for line in lines})


def test_a_user_is_given_the_stores_and_nothing_beside_them():
    """The root may be a folder that others use: what is in it stays theirs."""
    mend = Mender("watcher", "/etc/watcher.toml", "root", "root", is_root=True)
    command = mend.account("watcher", "/srv", ["/srv/archive"], is_known=True)
    expected = "install -d /srv && chown watcher: /srv && chown -R watcher: /srv/archive"
    assert expected == command


def test_a_faulty_configuration_is_mended_in_an_editor(base, capsys):
    """Each fault is a finding of a check, with exit 2; the command opens the file."""
    config = base / "watcher.toml"
    config.write_text(config.read_text() + '[retention]\nrecepts = "1d"\n[log2]\n')
    code, text = told(capsys, config, "check")
    assert (2, 2) == (code, text.count("error    configuration") + text.count("error  conf"))
    (command,) = [line for line in text.splitlines() if "EDITOR" in line]
    carry_out(command, base, editor="sed -i -e 's/recepts/receipts/' -e '/log2/d' \"$1\"")
    assert (0, []) == faulty(config)


def test_an_address_that_is_taken_is_changed_in_an_editor(base):
    """Another daemon's, or any program's."""
    host = own_host()
    with socket.create_server((host, 0)) as taken:
        port = taken.getsockname()[1]
        config = base / "watcher.toml"
        config.write_text(config.read_text() + f'[metrics]\nlisten = "{host}:{port}"\n')
        (line,) = metrics_lines(scene(load(str(config))))
        assert ("error", 2) == (line.severity, line.code)
        carry_out(line.command, base, editor=f"sed -i 's/{host}/{own_host()}/' \"$1\"")
        assert ["ok"] == [each.severity for each in metrics_lines(scene(load(str(config))))]


def test_what_takes_the_room_is_shown(base):
    """A disk that is full is mended by a person: the command shows where to begin."""
    config = base / "watcher.toml"
    run(base)
    replaced('"1MiB"', '"900000TiB"')(base)
    code, lines = faulty(config)
    assert (0, {"warning"}) == (code, {line.severity for line in lines})
    for line in lines:
        assert "imaging" in carry_out(line.command, base)


# -- mounts ----------------------------------------------------------------------------------------


def mounted(monkeypatch, point, kind, options="", source="server:/export"):
    """The kernel's table, as if something more were mounted."""
    table = mounts.read_mounts()
    real = os.path.realpath(point)
    below = mounts.mount_of(real, table)
    more = replace(
        below,
        id=1 + max(each.id for each in table),
        parent=below.id,
        point=os.fsencode(real),
        type=kind,
        source=source,
        options=options,
    )
    monkeypatch.setattr("watcher.commands.looked.read_mounts", lambda: (*table, more))


def named(monkeypatch, base, point, by):
    """The machine's fstab, or a mount unit of it, names this mount point."""
    table, folder = base / "fstab", base / "mount-units"
    folder.mkdir(exist_ok=True)
    table.write_text(f"server:/export {point} nfs defaults 0 0\n" if by == "fstab" else "")
    (folder / "it.mount").write_text(f"[Mount]\nWhere={point}\n" if by == "unit" else "")
    monkeypatch.setattr(mounts.named_points, "__defaults__", (str(table), str(folder)))


@pytest.mark.parametrize(
    ("kind", "lacking", "enough"),
    [
        ("nfs4", "rw,vers=4.2,hard", "lookupcache=positive"),
        ("cifs", "rw,vers=3.1.1,noserverino", "serverino"),
    ],
)
@pytest.mark.parametrize("by", ["fstab", "unit"])
def test_a_share_is_mounted_anew_with_what_it_lacks(base, monkeypatch, by, kind, lacking, enough):
    """What its mount lacks for a drop is said; the command is one for what names the mount."""
    config, drop = base / "watcher.toml", base / "mri"
    mounted(monkeypatch, drop, kind, lacking)
    named(monkeypatch, base, drop, by)
    code, (line,) = faulty(config)
    assert (0, "warning", "drop mri") == (code, line.severity, line.of)
    note = f'echo $(basename "$0") "$@" >> {base}/done'
    carry_out(line.command, base, umount=note, mount=note, systemctl=note)
    expected = {
        "fstab": [f"umount {drop}", f"mount -o {enough} {drop}"],
        "unit": [f"systemctl edit --full {drop}", f"systemctl restart {drop}"],
    }
    assert expected[by] == (base / "done").read_text().splitlines()
    mounted(monkeypatch, drop, kind, f"rw,{enough.replace('itive', '')}")
    assert (0, []) == faulty(config)


def test_a_share_that_nothing_names_is_left_mounted(base, monkeypatch):
    """Its password is known to nobody but the kernel: what to add is said, and no command."""
    mounted(monkeypatch, base / "mri", "cifs", "rw,username=scan", "//server/export")
    code, (line,) = faulty(base / "watcher.toml")
    assert (0, "") == (code, line.command)
    assert "without serverino " in line.text
    assert f"neither fstab nor a mount unit names {base}/mri" in line.hint


@pytest.mark.parametrize(("by", "start"), [("fstab", "mount"), ("unit", "systemctl start")])
def test_a_mount_that_is_not_there_is_made_by_what_names_it(base, monkeypatch, by, start):
    """mount(8) reads the fstab, and knows no unit."""
    named(monkeypatch, base, base / "mri", by)
    code, (line,) = faulty(base / "watcher.toml")
    assert (10, f"{start} {base}/mri") == (code, line.command.removeprefix("sudo "))


def gone(base):
    """What was mounted at the archive is not there, and the status store has lost its marker."""
    run(base)
    with command_parts(load(str(base / "watcher.toml"))) as parts:
        parts.ledger.remember("store-mount/archive", "nfs4 server:/export")
    (base / "imaging" / "status" / ".watcher-store").unlink()


def test_what_is_final_is_not_done_by_pasting(base):
    """A mount fails in the midst of the text: nothing after it takes the bare folder for a store.

    The command that would is a comment at the end, once.
    """
    config = base / "watcher.toml"
    gone(base)
    before = faulty(config)
    assert ["store archive", "store status"] == [line.of for line in before[1]]
    rows = list(script(before[1]))
    carry_out("\n".join([*rows, "true"]), base, mount="exit 1")
    assert before == faulty(config)
    command = before[1][1].command
    assert "check --accept" in command
    assert [f"#   {command}"] == [row for row in rows if row.removeprefix("#   ") == command]
    assert f"#   {command}" == rows[-1]


def test_a_final_command_of_several_lines_is_a_comment_throughout():
    """Also where a name in it has a line break."""
    rows = "\n".join(script([Line("error", "it", "wrong", command="one 'a\ntwo'", final=True)]))
    assert {"#"} == {row[0] for row in rows.split("\n")}


def test_a_named_mount_that_is_not_there_is_not_accepted(base, monkeypatch, capsys):
    """Its store is refused, with the reason and exit 10, and others are taken.

    Nothing is written into the bare folder, and what was mounted there is remembered.
    """
    config, archive = base / "watcher.toml", base / "imaging" / "archive"
    gone(base)
    (archive / ".watcher-store").unlink()
    named(monkeypatch, base, archive, "fstab")
    code, lines = ask(capsys, config, "check", "--accept")
    said = {line["of"]: line["text"] for line in reversed(lines)}
    assert (10, f"{base}/imaging/status is taken for ours") == (code, said["store status"])
    assert f"{archive} is not taken: " in said["store archive"]
    assert f"nothing is mounted at {archive}" in said["store archive"]
    assert [] == os.listdir(archive)
    with command_parts(load(str(config))) as parts:
        assert "nfs4 server:/export" == Lookup(parts.ledger).mounts(STORE_MOUNT)["archive"]


def test_a_share_is_not_watched(base, monkeypatch):
    """`watch = "native"` on a share finds others' changes by looks only: changed in an editor."""
    config = base / "watcher.toml"
    mounted(monkeypatch, base / "mri", "nfs4", "lookupcache=pos")
    assert (0, []) == faulty(config)
    replaced("[[drop]]", '[[drop]]\nwatch = "native"')(base)
    code, (line,) = faulty(config)
    assert (0, "warning", "drop mri") == (code, line.severity, line.of)
    carry_out(line.command, base, editor='sed -i /native/d "$1"')
    assert (0, []) == faulty(config)


def test_a_state_on_a_share_is_an_error(base, monkeypatch):
    """The ledger needs a local file system: exit 2; another place is written in an editor."""
    config, state = base / "watcher.toml", base / "imaging" / "state"
    state.mkdir(parents=True)
    mounted(monkeypatch, state, "nfs4", "hard")
    code, (line,) = faulty(config)
    assert (2, "error", "store state") == (code, line.severity, line.of)
    local = f'sed -i \'s|^reserve|state = "{base}/local/state"\\n&|\' "$1"'
    carry_out(line.command, base, editor=local)
    assert (0, []) == faulty(config)


def test_a_mount_that_went_is_mounted_again_or_forgotten(base, monkeypatch):
    """What was there is what the command mounts; the other command is in the words."""
    config = base / "watcher.toml"
    run(base)
    with command_parts(load(str(config))) as parts:
        parts.ledger.remember("mount/mri", "nfs4 server:/export")
    code, (line,) = faulty(config)
    assert (10, f"mount -t nfs4 server:/export {base}/mri") == (  # nothing else names it
        code,
        line.command.removeprefix("sudo "),
    )
    with monkeypatch.context() as patch:
        mounted(patch, base / "mri", "nfs4", "lookupcache=pos")
        assert (0, []) == faulty(config)
        mounted(patch, base / "mri", "nfs4", "lookupcache=pos", source="other:/export")
        assert (10, "drop mri") == (faulty(config)[0], faulty(config)[1][0].of)
    carry_out(line.hint.partition(": ")[2], base)
    assert (0, []) == faulty(config)


# -- the machine -----------------------------------------------------------------------------------


def test_memory_of_a_control_group_counts(base, monkeypatch):
    """The least of the groups above this process and the machine's is what there is."""
    tree = base / "cgroup"
    (tree / "a.slice" / "b.service").mkdir(parents=True)
    (tree / "a.slice" / "memory.max").write_text(f"{300 << 20}\n")
    (tree / "a.slice" / "b.service" / "memory.max").write_text("max\n")
    groups = base / "groups"
    groups.write_text("0::/a.slice/b.service\n")
    monkeypatch.setattr(memory, "TREE", str(tree))
    monkeypatch.setattr(memory, "GROUPS", str(groups))
    assert memory.Room(300 << 20, "/a.slice") == memory.room()
    (tree / "a.slice" / "memory.max").write_text(f"{1 << 50}\n")
    assert "" == memory.room().group


def test_a_library_older_than_tested_is_said(base, monkeypatch):
    """Of each that is older than the lowest tested; the command asks for that one."""
    mend = scene(load(str(base / "watcher.toml"))).mend
    assert [] == list(libraries(mend))
    old = base / "lib" / "anyio-4.9.0.dist-info"
    old.mkdir(parents=True)
    (old / "METADATA").write_text("Metadata-Version: 2.1\nName: anyio\nVersion: 4.9.0\n")
    monkeypatch.syspath_prepend(str(old.parent))
    (line,) = libraries(mend)
    assert "anyio 4.9.0 is older than 4.11, the oldest that was tested" == line.text
    assert line.command.endswith("-m pip install 'anyio>=4.11'")


def test_what_is_said_of_the_machine_is_a_command_each(base):
    """Whatever this host lacks: nothing is an error, and each command is a shell's."""
    lines = list(machine_lines(scene(load(str(base / "watcher.toml")))))
    assert [] == [line for line in lines if line.severity == "error"]
    for line in lines:
        assert line.severity == "ok" or line.command
    text = "\n".join(script(lines))
    assert 0 == subprocess.run(["sh", "-n"], input=text, text=True).returncode


def test_a_template_s_unit_is_found_by_its_configuration(base):
    """`watcher@NAME.service` starts on NAME.toml; drop-ins of both names count, empty resets."""
    etc = base / "etc"
    etc.mkdir()
    text = UNIT.format(config="/etc/watcher/%i.toml", base="/srv")
    (etc / "watcher@.service").write_text(text)
    for name, line in (("watcher@.service.d", "/a"), ("watcher@ct.service.d", "/b\nUser=ct")):
        (etc / name).mkdir()
        (etc / name / f"{len(name)}.conf").write_text(f"[Service]\nReadWritePaths=\\\n -{line}\n")
    (found,) = units.units_of("/etc/watcher/ct.toml")
    assert ("watcher@ct.service", "ct") == (found.name, found.last("User"))
    assert ("/srv/imaging", "/a", "/b") == found.paths("ReadWritePaths")
    (etc / "multi-user.target.wants").mkdir()
    (etc / "multi-user.target.wants" / "watcher@mri.service").symlink_to(etc / "watcher@.service")
    (other,) = units.units_of("/etc/watcher/mri.toml")
    assert ("/srv/imaging", "/a") == other.paths("ReadWritePaths")
    (etc / "watcher@.service.d" / "99.conf").write_text("[Service]\nReadWritePaths=\n")
    assert () == units.units_of("/etc/watcher/mri.toml")[0].paths("ReadWritePaths")
    assert [] == units.units_of("/srv/elsewhere.toml")


def test_an_odd_path_is_one_word_of_a_unit(base):
    """Blanks, quotes, backslashes and percent signs: what the command writes is read back."""
    config = base / "watcher.toml"
    unit(ReadWritePaths="/")(base)
    replaced("/mri", '/a \\"b\\" \\\\ 100%')(base)
    carry_out(faulty(config)[1][0].command, base)
    assert (0, []) == faulty(config)
    unit_file = base / "etc" / "watcher.service"
    unit_file.write_text(unit_file.read_text().replace("\nReadWritePaths=/", ""))
    carry_out(here(faulty(config)[1][0].command, base), base, systemctl="true")
    assert (0, []) == faulty(config)
