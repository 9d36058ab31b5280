"""One daemon with every kind of drop at once: each file is somewhere, and nothing else happens."""

import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest
from makers import dicomdir_patients, make_dicom
from world import World, files_below, md5, until

pytestmark = pytest.mark.timeout(900)

DROPS = {
    "ward": ('import = "gradual"', 'dest = "prearchive"'),
    "scanner": ('import = "gradual"', 'dest = "archive"'),
    "visits": ('import = "transactional"', 'dest = "prearchive"'),
    "trial": ('import = "transactional"', 'dest = "archive"', "strict = true"),
    "export": ('import = "gradual"', 'after = "keep"'),
    "mirror": ('import = "transactional"', 'after = "keep"', 'watch = "poll"'),
    "named": ('layout = "{project}/{session}"', 'dest = "archive"'),
    "share": ('watch = "poll"',),
}
TABLE = """
[[drop]]
path = "{path}"
name = "{name}"
settle = "100ms"
inactivity = "300ms"
rescan_interval = "300ms"
stuck_after = "{stuck}"
"""


@pytest.fixture
def world(tmp_path):
    """The drops, empty; files name their projects."""
    return installed(tmp_path, "[projects.P1]")


def installed(tmp_path, more, of_each="", stuck="2s"):
    """The drops, empty; the log's heart beats every half second."""
    tables = []
    for name, lines in DROPS.items():
        (tmp_path / name).mkdir()
        tables += [TABLE.format(path=tmp_path / name, name=name, stuck=stuck), *lines, of_each]
    text = "\n".join([*tables, more])
    made = World(tmp_path, extra='heartbeat = "500ms"\n' + text)
    made.sent, made.members = {}, {}
    return made


def study(number, **more):
    """The UIDs of a file of its own study."""
    root = f"1.2.77.{number}"
    label = f"S{number:02}"
    uids = {"study": root, "series": f"{root}.1", "sop": f"{root}.1.1", "patient_id": label}
    return uids | {"description": "P1"} | more


def put(world, drop, name, number, **more):
    """One file of a study of its own, for a drop."""
    made = Path(make_dicom(world.base / "made", **study(number, **more)))
    return put_made(world, drop, name, made)


def put_made(world, drop, name, made):
    """A file for a drop, under its name, aside until `bring`."""
    target = world.base / "aside" / drop / name
    target.parent.mkdir(parents=True, exist_ok=True)
    world.sent[f"{drop}/{name}"] = md5(made)
    os.rename(made, target)
    return target


def bring(world):
    """All that was put aside, into the drops: each folder and file whole, however slow we are."""
    for drop in sorted((world.base / "aside").iterdir()):
        for made in sorted(drop.iterdir()):
            os.rename(made, world.base / drop.name / made.name)


def packed(world, drop, name, numbers):
    """An archive file with a study for each number."""
    made = world.base / "packed"
    opener = zipfile.ZipFile if name.endswith(".zip") else tarfile.open
    with opener(made, "w") as archive:
        for number in numbers:
            path = make_dicom(world.base / "made", **study(number))
            world.members[f"{drop}/{name}/{number}"] = md5(path)
            add = archive.write if name.endswith(".zip") else archive.add
            add(path, f"study/{number}.dcm")
    return put_made(world, drop, name, made)


def fill(world):
    """Something of everything, in every drop; gives the labels that must be archived."""
    for number, drop in enumerate(("ward", "scanner", "export", "share")):
        for file in (1, 2):
            name = f"exam/{file}.dcm"
            put(world, drop, name, number, sop=f"1.2.77.{number}.1.{file}", instance=file)
    for number, drop in enumerate(("visits", "trial", "mirror"), start=10):
        for file in (1, 2):
            name = f"visit/{file}.dcm"
            put(world, drop, name, number, sop=f"1.2.77.{number}.1.{file}", instance=file)
        put(world, drop, "loose.dcm", number + 10)
    put(world, "named", "P1/VISIT/a/1.dcm", 30)
    packed(world, "ward", "sent.zip", (40, 41))
    packed(world, "visits", "sent.tar", (42,))
    return {f"S{n:02}" for n in (0, 1, 2, 3, 10, 11, 12, 20, 21, 22, 40, 41, 42)} | {"VISIT"}


def spoil(world):
    """What can't go in: torn, not DICOM, without UIDs, in conflict; in units and alone."""
    for number, drop in enumerate(("ward", "visits"), start=50):
        whole = Path(make_dicom(world.base / "made", **study(number)))
        whole.write_bytes(whole.read_bytes()[:-10])
        put_made(world, drop, "cut/torn.dcm", whole)
    put(world, "visits", "cut/whole.dcm", 51, sop="1.2.77.51.1.2", instance=2)
    note = world.base / "note"
    for drop in ("ward", "visits", "trial"):
        note.write_text(f"not DICOM, {drop}")
        put_made(world, drop, "noted/notes.txt", note)
        put(world, drop, "noted/1.dcm", {"ward": 60, "visits": 61, "trial": 62}[drop])
    put(world, "scanner", "unnamed.dcm", 63, series=None)
    note.write_bytes(b"no archive at all")
    put_made(world, "share", "broken.zip", note)


def digests(*folders):
    """What lies below, by content."""
    return {md5(p) for folder in folders for p in folder.rglob("*") if p.is_file()}


def accounted(world):
    """Every file that was sent, and every member, whose bytes are nowhere."""
    stores = [world.root / name for name in ("prearchive", "archive", "quarantine", "history")]
    here = digests(*stores, *(world.base / name for name in DROPS))
    wanted = {k: v for k, v in world.sent.items() if not k.endswith(("sent.zip", "sent.tar"))}
    return sorted(name for name, each in (wanted | world.members).items() if each not in here)


def test_every_kind_of_drop_at_once(world):
    """Eight drops, all four cells, kept, named, polled, archive files: each file ends where its
    drop says, what can't waits or is set aside with its reason, no other drop minds, and none is
    lost.
    """
    expected = fill(world) | {"S60", "S61"}
    spoil(world)
    with world.daemon() as daemon:
        bring(world)
        until(
            lambda: {label for label, _ in world.archived()},
            lambda found: found >= expected,
            pause=0.3,
        )
        daemon.wait_for("file.stuck", drop="ward", path="cut/torn.dcm")
        daemon.wait_for("file.stuck", drop="visits", path="cut/torn.dcm")
        for drop in ("ward", "visits", "trial", "scanner"):
            daemon.wait_for("file.quarantined", drop=drop)
        until(lambda: left(world), lambda found: found.items() >= STAYS.items())
        beats = len([e for e in daemon.events if e["event"] == "daemon.heartbeat"])
        (beat,) = daemon.wait_for("daemon.heartbeat", count=beats + 1)[-1:]
        until(lambda: world.watcher("status", "--health")[0], lambda code: code == 0)
        code, _ = daemon.stop()
    assert (0, "") == (code, daemon.errors)
    assert {*DROPS, "mri"} == set(beat["counters"]) == set(beat["drops"])
    assert all(each["available"] for each in beat["drops"].values())
    assert [] == said(daemon, "error")
    assert [] == accounted(world)
    assert expected == {label for label, _ in world.archived()}
    assert [] == world.uncatalogued()
    ends(world)


STAYS = {
    "ward": {"cut/torn.dcm"},
    "scanner": set(),
    "visits": {"cut/torn.dcm", "cut/whole.dcm"},
    "trial": set(),
    "export": {"exam/1.dcm", "exam/2.dcm"},
    "mirror": {"visit/1.dcm", "visit/2.dcm", "loose.dcm"},
    "named": set(),
}  # by drop; what becomes of no archive in `share` is told in two ways


def ends(world):
    """Where each drop's files are at the end."""
    found = left(world)
    share = found.pop("share")
    assert STAYS == found
    entries, _ = world.json("quarantine", "list")
    aside = {(each["drop"], each["code"], each["files"]) for each in entries}
    assert {
        ("ward", "not-dicom", 1),
        ("visits", "not-dicom", 1),
        ("trial", "not-dicom", 2),  # strict: the whole unit
        ("scanner", "missing-uid", 1),
    } <= aside
    assert "broken.zip" in share | {each["path"] for each in entries}


def said(daemon, *levels):
    """Lines of these levels; not that this machine stalled within a look."""
    lines = (each for each in daemon.events if each["level"] in levels)
    return [each for each in lines if each.get("text") != "it does not answer"]


def left(world):
    """What lies in each drop still, but for the receipts."""
    below = {name: files_below(world.base / name) for name in DROPS}
    return {
        name: {each for each in found if not each.startswith("RECEIPTS/")}
        for name, found in below.items()
    }


@pytest.mark.campaign
def test_real_studies_through_every_kind_of_drop(tmp_path):
    """The same real scanner's files through every drop: each instance is archived once, whoever
    brought it first; the others are duplicates, and nothing conflicts.
    """
    sources = dicomdir_patients()
    identify = '[identify]\nsession = ["{PatientID}_{StudyInstanceUID}"]'
    world = installed(tmp_path, identify, 'project = "P1"', stuck="1h")
    with world.daemon() as daemon:
        for name in ("ward", "visits", "scanner", "trial", "mirror"):
            aside = world.base / "aside"
            aside.mkdir()
            for number, path in enumerate(sources):
                shutil.copyfile(path, aside / f"IM{number:03}")
            os.rename(aside, world.base / name / "patients")
        wanted = sorted(map(md5, sources))
        until(lambda: sorted(world.archived().values()), lambda found: found == wanted, pause=0.3)
        until(lambda: left(world), lambda found: not found["visits"] | found["trial"])
        until(lambda: world.json("sessions")[0], lambda found: found == [])
        code, _ = daemon.stop()
    assert (0, "", wanted) == (code, daemon.errors, sorted(world.archived().values()))
    assert [] == said(daemon, "warning", "error")
    assert [] == world.uncatalogued()
