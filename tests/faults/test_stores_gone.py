"""Stores whose mounts go away: nothing is written beneath, and all goes on when they are back."""

import os
import random
import shutil
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
from faults.flood import Flood, archived, judged, said
from faults.machine import command, mounted, needs, unmount
from faults.waiting import WAIT, wait_until
from world import World, md5

pytestmark = [pytest.mark.faults, pytest.mark.campaign, pytest.mark.timeout(1200)]

STORES = ("prearchive", "archive", "quarantine", "history", "state")


@pytest.fixture
def flood():
    return Flood()


class Mounted:
    """A world whose stores are each a mount of their own; what they show lies in `disks`."""

    def __init__(self, base, stores=STORES):
        needs("mount", "umount")
        self.world = World(base, inactivity="300ms", level="info")
        self.disks = base / "disks"
        self.stores = stores
        self._stack = ExitStack()
        for store in stores:
            (self.disks / store).mkdir(parents=True)

    def __enter__(self):
        for store in self.stores:
            self.path(store).mkdir(parents=True)
            self._stack.enter_context(mounted(self.path(store), "--bind", str(self.disks / store)))
        return self

    def __exit__(self, *_):
        self._stack.close()

    def path(self, store):
        return self.world.root / store

    def away(self, store):
        """Lazily, as `umount -l`: what is open stays open."""
        unmount(self.path(store))

    def back(self, store):
        command("mount", "--bind", str(self.disks / store), str(self.path(store)))

    def beneath(self, store):
        """What lies in the bare mount point; the store must be away."""
        return sorted(str(path) for path in self.path(store).rglob("*"))


@pytest.mark.parametrize("store", STORES)
def test_a_store_that_is_gone_before_the_start(store, tmp_path, flood, row):
    """Exit 10 of `run --once` and `check`, nothing made beneath; the daemon waits for it.

    For `state` the daemon itself ends with 10 (spec 4).
    """
    line = row(f"{store} unmounted before the start", "bind mount")
    with Mounted(tmp_path) as place:
        world = place.world
        flood.fill(world.drop / "first", 2)
        assert 0 == world.once()[0]
        flood.fill(world.drop / "second", 2)
        place.away(store)
        assert (10, 10) == (world.once()[0], world.watcher("check")[0])
        if store == "state":
            assert (10, True) == (world.watcher("run")[0], "the state store" in world.errors)
            assert [] == place.beneath(store)
            place.back(store)
            assert 0 == world.once()[0]
        else:
            with world.daemon() as daemon:
                assert [] == place.beneath(store)
                place.back(store)
                archived(world, flood)
                assert 0 == daemon.stop()[0]
        judged(line, world, flood)
        place.away(store)
        assert [] == place.beneath(store)


def send(world, flood, stop):
    """Files that arrive all the while, in folders of their own."""
    number = 0
    while not stop.wait(0.3):
        flood.fill(world.drop / f"s{number}" / "a", 3)
        number += 1


@pytest.mark.parametrize("times", [2, pytest.param(100, marks=pytest.mark.soak)])
def test_stores_come_and_go_while_files_arrive(times, tmp_path, flood, row):
    """At any moment, several at once: nothing is written beneath, said once each, all archived."""
    line = row("stores unmounted while it runs", "umount -l at random moments, files arriving")
    chance = random.Random(times)
    with Mounted(tmp_path) as place, place.world.daemon() as daemon:
        stop = threading.Event()
        sender = threading.Thread(target=send, args=(place.world, flood, stop))
        sender.start()
        try:
            for _ in range(times):
                gone = chance.sample(STORES, 2)
                before = {store: lines(daemon, store) for store in gone}
                for store in gone:
                    threading.Event().wait(chance.uniform(0, 0.5))
                    place.away(store)
                for store in gone:
                    once_more(daemon, store, before[store], "unavailable")
                    assert [] == place.beneath(store)
                    place.back(store)
                for store in gone:
                    once_more(daemon, store, before[store], "available")
        finally:
            stop.set()
            sender.join()
        archived(place.world, flood, WAIT, lambda: daemon.events[-20:])
        assert 0 == daemon.stop()[0]
        judged(line, place.world, flood)
        for store in STORES:
            place.away(store)
            assert [] == place.beneath(store)


def lines(daemon, store):
    """How often a store was said to be gone, and to be back."""
    return tuple(
        said(daemon, f"storage.{how}", store=store) for how in ("unavailable", "available")
    )


def once_more(daemon, store, before, how):
    at = 0 if how == "unavailable" else 1
    wait_until(lambda: lines(daemon, store)[at] > before[at], WAIT, lambda: daemon.events[-10:])
    assert before[at] + 1 == lines(daemon, store)[at]


@pytest.mark.parametrize("store", ["archive", "state"])
def test_another_file_system_in_its_place(store, tmp_path, flood, row):
    """One with the marker of another installation: not ours, not touched; ours is waited for."""
    line = row(f"another file system mounted at {store}", "its marker is another installation's")
    with Mounted(tmp_path, [store]) as place:
        world = place.world
        flood.fill(world.drop / "first", 2)
        assert 0 == world.once()[0]
        shutil.copytree(place.disks / store, place.disks / "foreign")
        (place.disks / "foreign" / ".watcher-store").write_text("f" * 32 + "\n")
        before = tree(place.disks / "foreign")
        with world.daemon() as daemon:
            place.away(store)
            command("mount", "--bind", str(place.disks / "foreign"), str(place.path(store)))
            daemon.wait_for("storage.unavailable", store=store)
            flood.fill(world.drop / "second", 2)
            threading.Event().wait(2)
            assert before == tree(place.disks / "foreign")
            place.away(store)
            place.back(store)
            daemon.wait_for("storage.available", store=store)
            archived(world, flood)
            assert 0 == daemon.stop()[0]
        assert before == tree(place.disks / "foreign")
        judged(line, world, flood)


def tree(folder):
    """Names and contents."""
    found = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return [(str(path), path.read_bytes()) for path in found]


def test_the_whole_root_named_in_fstab_and_not_mounted(tmp_path, flood, row):
    """No first start on the bare mount point, whatever the first look ever finds: exit 10.

    The daemon has a mount namespace of its own, in which /etc/fstab names the root.
    """
    line = row("root of all stores not mounted", "named in fstab, in a mount namespace")
    needs("unshare", "mount")
    world = World(tmp_path, inactivity="300ms", level="info")
    world.root.mkdir()
    disk = tmp_path / "disk"
    disk.mkdir()
    fstab = tmp_path / "fstab"
    fstab.write_text(f"/dev/none {world.root} ext4 noauto 0 0\n")
    flood.fill(world.drop / "first", 2)
    enter = f'mount --bind {fstab} /etc/fstab && {{}} exec "$@"'
    bare = world.daemon("unshare", "-m", "sh", "-c", enter.format(""), "sh")
    bare.process.wait(WAIT)
    assert 10 == bare.stop()[0]
    assert f"nothing is mounted at {world.root}" in bare.errors
    assert [] == os.listdir(world.root)
    there = enter.format(f"mount --bind {disk} {world.root} &&")
    with world.daemon("unshare", "-m", "sh", "-c", there, "sh") as daemon:
        daemon.wait_for("session.archived")
        assert 0 == daemon.stop()[0]
    assert [] == os.listdir(world.root)
    line.judge(flood.sent, disk, [world.drop], md5)
