"""The stores: made once, known by their marker, missing where it is missing or foreign (spec 5)."""

import json
import os
import shutil

import pytest
from filed import session

from watcher.core.errors import AlreadyRunningError, MissingPlaceError, StorageError
from watcher.core.policy import Stores
from watcher.core.session import Status
from watcher.io.stores import KINDS, MARKER, Storage, read_record


@pytest.fixture
def stores(tmp_path):
    folders = {kind: str(tmp_path / kind) for kind in KINDS}
    return Stores(root=str(tmp_path), **folders)


@pytest.fixture
def storage(stores):
    made = Storage(stores)
    made.prepare()
    return made


def there(storage):
    return {kind for kind in KINDS if storage.is_there(kind)}


def test_first_start(stores, storage):
    """The first start makes every store, with one id."""
    assert set(KINDS) == there(storage)
    assert {storage.id} == set(storage.ids().values())
    assert len(storage.id) == 32


def test_not_prepared(storage, stores):
    """Before the id is known no store is there; an empty marker is none."""
    open(storage.marker("archive"), "w").close()
    assert set() == there(Storage(stores))
    again = Storage(stores)
    again.prepare()
    assert set(KINDS) - {"archive"} == there(again)


def test_next_start(stores, storage):
    """The next start knows the id, and makes nothing anew."""
    again = Storage(stores)
    again.prepare()
    assert (storage.id, set(KINDS)) == (again.id, there(again))


@pytest.mark.parametrize("kind", ["prearchive", "archive", "quarantine", "history", "status"])
@pytest.mark.parametrize("how", ["gone", "no marker", "foreign", "odd bytes"])
def test_missing(stores, storage, kind, how):
    """A store whose marker is missing or foreign is missing: not made, not taken for ours."""
    if how == "gone":
        shutil.rmtree(storage.path(kind))
    elif how == "no marker":
        os.remove(storage.marker(kind))
    else:
        with open(storage.marker(kind), "wb") as file:
            file.write(b"\xff\xfe\n" if how == "odd bytes" else b"0" * 32 + b"\n")
    again = Storage(stores)
    again.prepare()
    assert set(KINDS) - {kind} == there(again)
    assert os.path.lexists(storage.path(kind)) == (how != "gone")
    with pytest.raises(MissingPlaceError, match=f"the {kind} store") as caught:
        again.require(kind)
    assert "watcher check --accept" in caught.value.hint


def test_state_lost(stores, storage):
    """A lost state is made anew with the id of the others: the ledger can be rebuilt."""
    shutil.rmtree(stores.state)
    again = Storage(stores)
    again.prepare()
    assert (storage.id, set(KINDS)) == (again.id, there(again))


def test_fault_is_no_first_start(stores):
    """Where markers can't be looked for, nothing is made: a fault is not a first start."""
    os.symlink("loop", os.path.join(stores.root, "loop"))
    looped = {kind: f"{stores.root}/loop/{kind}" for kind in KINDS if kind != "state"}
    storage = Storage(Stores(root=stores.root, state=stores.state, **looped))
    with pytest.raises(StorageError):
        storage.prepare()
    assert os.listdir(stores.root) == ["loop"]


def test_fault_of_one(stores, storage):
    """Where one store can't be looked at, that one is missing and the rest goes on."""
    shutil.rmtree(stores.archive)
    os.symlink("archive", stores.archive)
    again = Storage(stores)
    again.prepare()
    assert set(KINDS) - {"archive"} == there(again)


def test_a_state_without_its_marker_is_a_bare_mount(stores, storage):
    """A state folder that is there and empty is missing, not lost: nothing is made in it."""
    shutil.rmtree(stores.state)
    os.mkdir(stores.state)
    with pytest.raises(MissingPlaceError, match="the state store"):
        Storage(stores).prepare()
    assert [] == os.listdir(stores.state)


def test_the_state_of_others_is_a_bare_mount_too(stores, storage):
    """A state with another id than all the stores around it is another installation's."""
    with open(storage.marker("state"), "w", encoding="ascii") as file:
        file.write("f" * 32)
    with pytest.raises(MissingPlaceError, match="another installation"):
        Storage(stores).prepare()


def test_a_start_cut_off_while_the_state_is_made_anew(stores, storage):
    """It takes its name with its marker in it: what was begun is carried on."""
    shutil.rmtree(stores.state)
    os.mkdir(f"{stores.state}.new")
    again = Storage(stores)
    again.prepare()
    assert (storage.id, set(KINDS)) == (again.id, there(again))
    assert not os.path.lexists(f"{stores.state}.new")


def test_no_first_start_on_a_bare_mount_point(tmp_path, stores):
    """A store below a mount point that is named and not mounted: nothing is made, of any store."""
    for point in (str(tmp_path), stores.archive):
        with pytest.raises(MissingPlaceError, match=f"nothing is mounted at {point}") as caught:
            Storage(stores, [point]).prepare()
        assert (10, f"mount {point}") == (caught.value.exit_code, caught.value.hint[:6] + point)
    assert [] == os.listdir(tmp_path)


def test_a_bare_mount_point_with_a_marker(stores, storage):
    """Named and not mounted, a store is missing even where its bare folder has the marker."""
    bare = Storage(stores, [stores.archive])
    bare.prepare()
    assert set(KINDS) - {"archive"} == there(bare)
    with pytest.raises(MissingPlaceError):
        bare.accept("archive")
    with pytest.raises(MissingPlaceError):
        Storage(stores, [stores.state]).prepare()


def test_another_mount_than_before(stores, storage):
    """A store that was a mount point when last seen is missing without that mount."""
    storage.mounted["archive"] = "xfs /dev/sdb1"
    assert set(KINDS) - {"archive"} == there(storage)
    storage.accept("archive")
    assert set(KINDS) == there(storage)


def test_accept(stores, storage):
    """A change that was meant is accepted: the store is ours again, its files as they were."""
    os.remove(storage.marker("archive"))
    with open(os.path.join(stores.archive, "file"), "w"):
        pass
    storage.accept("archive")
    assert stores.archive == storage.require("archive")
    assert sorted(os.listdir(stores.archive)) == [MARKER, "file"]


def test_locked(stores, storage):
    """One daemon holds every store that is there; a second is refused and holds none after."""
    shutil.rmtree(stores.history)
    again = Storage(stores)
    again.prepare()
    with storage.locked():
        before = set(os.listdir("/proc/self/fd"))
        with pytest.raises(AlreadyRunningError), again.locked():
            pass
        assert set(os.listdir("/proc/self/fd")) <= before  # the collector may close another's
    with again.locked():
        pass


def test_locked_in_part(stores, storage):
    """Where another holds just one of the stores, none of the others stays locked."""
    shared = Stores(
        **{
            **{kind: os.path.join(stores.root, "two", kind) for kind in KINDS},
            "root": stores.root,
            "status": stores.status,
        }
    )
    other = Storage(shared)
    other.id = storage.id
    for kind in KINDS:
        other.accept(kind)
    with storage.locked():
        before = set(os.listdir("/proc/self/fd"))
        with pytest.raises(AlreadyRunningError), other.locked():
            pass
        assert set(os.listdir("/proc/self/fd")) <= before  # the collector may close another's


def test_places(stores, storage):
    """Everything lies where the specification draws it (spec 8)."""
    row = session(id="T", project="P", label="L")
    lost = session(id="T", project=None, label="L")
    root = stores.root
    assert [
        storage.folder(row),
        storage.beside(row, "plan.json"),
        storage.folder(lost),
        storage.archived("P", "L"),
        storage.history("P", "L", "T2"),
        storage.history(None, "L", "T2"),
        storage.decisions,
        storage.incoming,
    ] == [
        f"{root}/prearchive/P/T/L",
        f"{root}/prearchive/P/T/L.plan.json",
        f"{root}/prearchive/T/L",
        f"{root}/archive/P/arc001/L",
        f"{root}/history/P/L/T2",
        f"{root}/history/Unassigned/L/T2",
        f"{root}/history/decisions.jsonl",
        f"{root}/prearchive/.watcher-incoming",
    ]


def test_record(storage):
    """A session's record is a whole JSON document beside its folder, and gives it back."""
    row = session(status=Status.READY, drops=("mri",), origins={"project": "layout"})
    os.makedirs(os.path.dirname(storage.folder(row)))
    storage.write_record(row)
    path = storage.beside(row, "json")
    with open(path, "rb") as file:
        assert file.read().endswith(b"}\n")
    assert row == read_record(path)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"{}", b"\xff", b'{"id": 1}', json.dumps({"target": None}).encode()]
)
def test_no_record(tmp_path, text):
    """What holds no session is none, and stops nobody: torn, foreign, or not there."""
    path = tmp_path / "L.json"
    path.write_bytes(text)
    assert read_record(str(path)) is None
    assert read_record(str(tmp_path / "missing.json")) is None


def test_wrong_record(storage):
    """A record with a status nobody knows is no session either; a newer version's field is none."""
    row = session()
    os.makedirs(os.path.dirname(storage.folder(row)))
    storage.write_record(row)
    path = storage.beside(row, "json")
    with open(path, encoding="utf-8") as file:
        values = json.load(file)
    for change, expected in (
        ({"status": "LOST"}, None),
        ({"findings": [1]}, None),
        ({"x": 1}, row),
    ):
        with open(path, "w", encoding="utf-8") as file:
            json.dump(values | change, file)
        assert expected == read_record(path)
