"""The index of the archive and of the quarantine."""

from dataclasses import replace

import pytest

from watcher.io.ledger import Ledger
from watcher.io.registry import Registry, SetAside, Shelf

ODD = b"caf\xe9/\xff\xfe.txt"  # no UTF-8
SHELF = Shelf(
    project="P1",
    label="A",
    session="20260619_091425123",
    experiment="W_E0123456789ab",
    subject="S1",
    study="1.2.3",
    accepted=("1.2.4", "1.2.5"),
    files=3,
    bytes=3000,
    scans=1,
    changed=1.5,
    xml_size=100,
    xml_mtime_ns=1_750_000_000_123_456_789,
)
ASIDE = SetAside(
    id="a1",
    drop="mri",
    code="bad-uid",
    place="mri/2026-06-19/a1",
    path=ODD,
    text="text",
    hint="hint",
    sop="1.2.3.4",
    files=1,
    set_aside=1.5,
)


@pytest.fixture
def registry(tmp_path):
    ledger = Ledger.open(str(tmp_path))
    yield Registry(ledger)
    ledger.close()


def test_shelf(registry):
    """What is archived is found as it was put in, by project and label, and is replaced whole."""
    registry.shelve(SHELF)
    assert SHELF == registry.shelf("P1", "A")
    assert [registry.shelf("P2", "A"), registry.shelf("P1", "B")] == [None, None]
    registry.shelve(replace(SHELF, files=4))
    assert [replace(SHELF, files=4)] == registry.shelved()


def test_shelved(registry):
    """Everything is listed by project and label; what is gone from the archive is gone."""
    shelves = [replace(SHELF, project=p, label=a) for p, a in ("PB", "PA", "AZ")]
    for each in shelves:
        registry.shelve(each)
    assert [shelves[2], shelves[1], shelves[0]] == registry.shelved()
    registry.unshelve("P", "A")
    registry.unshelve("P", "never")
    assert [shelves[2], shelves[0]] == registry.shelved()


def test_with_study(registry):
    """A study is found as a session's own and as an accepted one, and not by a part of its UID."""
    own = replace(SHELF, label="own", accepted=())
    accepts = replace(SHELF, label="accepts", study="9", accepted=("8", "1.2.3"))
    other = replace(SHELF, label="other", study="1.2.33", accepted=("1.2.30", "1%3"))
    for each in (own, accepts, other):
        registry.shelve(each)
    assert {"own", "accepts"} == {each.label for each in registry.with_study("1.2.3")}
    assert [] == registry.with_study("1.2")
    assert [] == registry.with_study("1%2")


def test_set_aside(registry):
    """An entry comes back as it was, its path in bytes; a later one replaces it by its id."""
    registry.set_aside(ASIDE)
    registry.set_aside(replace(ASIDE, id="a0"))
    registry.set_aside(replace(ASIDE, files=2))
    assert [replace(ASIDE, id="a0"), replace(ASIDE, files=2)] == registry.aside()


def test_waiting_for(registry):
    """The open entries of these SOP instances, until they are closed; none without a UID."""
    other = replace(ASIDE, id="a2", sop="9.9")
    for each in (ASIDE, other, replace(ASIDE, id="a3", sop="")):
        registry.set_aside(each)
    assert ["a1"] == registry.waiting_for(["1.2.3.4", "", "5.5"])
    registry.close("a1")
    assert [] == registry.waiting_for(["1.2.3.4"])
    assert [] == registry.waiting_for([])
    assert [each.id for each in registry.aside()] == ["a2", "a3"]
    assert [each.open for each in registry.aside(only_open=False)] == [False, True, True]
