"""The catalogue of events: complete, consistent, and the only source of names."""

import pytest

from watcher.core.coding import identifying
from watcher.core.errors import WatcherError
from watcher.core.events import EVENTS, LEVELS, event
from watcher.core.fields import COMMON, FIELD_TYPES

# spec 12, the table: event, level, who
SPEC = {
    **dict.fromkeys(
        [
            *("daemon.started", "daemon.ready", "daemon.heartbeat", "daemon.stopped"),
            *("session.opened", "session.rebuilt", "session.archived", "session.merged"),
            *("session.decided", "session.settled"),
        ],
        ("info", ""),
    ),
    **dict.fromkeys(["file.filed", "file.duplicate", "file.waiting"], ("debug", "")),
    "daemon.recovered": ("warning", "admin"),
    "daemon.fault": ("error", "admin"),  # ours, as is log.degraded
    "log.degraded": ("warning", "admin"),
    "storage.unavailable": ("error", "admin"),
    "storage.low": ("error", "admin"),
    "drop.unavailable": ("error", "admin"),
    "drop.degraded": ("warning", "admin"),
    "drop.readonly": ("warning", "admin"),
    "file.stuck": ("warning", "sender"),
    "file.quarantined": ("warning", "data"),
    "session.conflict": ("error", "data"),
    "session.error": ("error", "admin"),
    "archive.damaged": ("error", "data"),
}
CLEARS = {
    "storage.available": ("storage.unavailable",),
    "storage.recovered": ("storage.low",),
    "drop.available": ("drop.unavailable",),
    "drop.restored": ("drop.degraded",),
    "drop.writable": ("drop.readonly",),
    "file.released": ("file.stuck",),
    "quarantine.settled": ("file.quarantined",),
    "session.settled": ("session.conflict", "session.error"),
    "archive.verified": ("archive.damaged",),
    "reader.available": ("reader.unavailable",),  # ours: the contract has none for it
}


def test_the_table_of_the_contract_is_in_the_catalogue():
    """Every event of the contract exists with its level and who acts."""
    assert {name: (EVENTS[name].level, EVENTS[name].who) for name in SPEC} == SPEC


def test_every_condition_is_cleared_by_what_the_contract_says():
    """Raise and clear name each other, both ways, and nothing else clears anything."""
    assert {one.name: one.clears for one in EVENTS.values() if one.clears} == CLEARS
    raised = {one.name: one.cleared_by for one in EVENTS.values() if one.cleared_by}
    expected = {ended: (name,) for name, ends in CLEARS.items() for ended in ends}
    assert expected == raised


def test_the_error_log_says_session_upload_failed():
    """A session that could not be merged is said in XNAT's words."""
    said = {EVENTS["session.conflict"].message, EVENTS["session.error"].message}
    assert said == {"Session upload failed"}


@pytest.mark.parametrize("one", EVENTS.values(), ids=EVENTS.keys())
def test_an_event_is_whole(one):
    """Each is named after itself and has texts, a level and typed fields; who acts is told what."""
    assert EVENTS[one.name] is one
    assert one.message
    assert one.meaning.endswith(".")
    assert one.level in LEVELS
    assert set(one.fields.values()) <= FIELD_TYPES.keys()
    assert bool(one.who) == bool(one.todo)
    assert not {"event", "timestamp", "level", "message"} & set(one.fields)


def test_fields_that_identify_are_coded_and_no_others():
    """A field declared a label, name or path is one the coder hides; the rest stay readable."""
    fields = [*COMMON.items(), *(pair for one in EVENTS.values() for pair in one.fields.items())]
    declared = {name for name, kind in fields if kind in {"label", "name", "path"}}
    counted = {name for name, kind in fields if kind == "count"}  # numbers of things stay
    assert declared == {name for name, _ in fields if identifying(name)} - counted


def test_an_unknown_event_is_an_error():
    """A name that is not in the catalogue is a bug and says so."""
    assert event("session.opened") is EVENTS["session.opened"]
    with pytest.raises(WatcherError, match=r"session\.exploded"):
        event("session.exploded")
