"""The picture as Prometheus reads it."""

import re
import shutil
import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families

from watcher.core.events import EVENTS
from watcher.core.session import Status
from watcher.report import metrics

MADE = "2026-06-19T09:14:25.123Z"
DROP = {
    "name": "mri",
    "available": True,
    "watch": "native",
    "waiting": 3,
    "oldest_pending": 12.5,
    "filed": 7,
    "duplicates": 2,
    "quarantined": 1,
    "units": 4,
}
STORE = {"store": "archive", "available": True, "free": 10, "total": 30}
PICTURE = {
    "version": "1.2.3",
    "every": 60.0,
    "heartbeat": MADE,
    "started": MADE,
    "lost": 5,
    "sessions": {"CONFLICT": 2, "ARCHIVED": 40},
    "oldest": {"CONFLICT": 86400.0},
    "drops": [DROP],
    "stores": [STORE],
    "open_conditions": {"session.conflict": 2},
    "quarantine": [{}, {}],
    "more_quarantine": 1,
}


def read(document):
    """Every sample by name and values of labels."""
    found = {}
    for family in text_string_to_metric_families(metrics.text(document).decode()):
        for sample in family.samples:
            found[sample.name, *sample.labels.values()] = sample.value
    return found


def test_every_number_of_the_picture_is_a_sample():
    """Units are seconds and bytes, moments are seconds since the epoch, counters end in _total."""
    found = read(PICTURE)
    moment = 1781860465.123
    expected = {
        ("watcher_build_info", "1.2.3"): 1,
        ("watcher_start_time_seconds",): moment,
        ("watcher_heartbeat_timestamp_seconds",): moment,
        ("watcher_heartbeat_interval_seconds",): 60,
        ("watcher_sessions", "CONFLICT"): 2,
        ("watcher_sessions", "ARCHIVED"): 40,
        ("watcher_session_oldest_seconds", "CONFLICT"): 86400,
        ("watcher_files_total", "mri", "filed"): 7,
        ("watcher_files_total", "mri", "duplicate"): 2,
        ("watcher_files_total", "mri", "quarantined"): 1,
        ("watcher_files_waiting", "mri"): 3,
        ("watcher_units_waiting", "mri"): 4,
        ("watcher_oldest_pending_seconds", "mri"): 12.5,
        ("watcher_drop_up", "mri"): 1,
        ("watcher_drop_watched", "mri"): 1,
        ("watcher_storage_up", "archive"): 1,
        ("watcher_storage_free_bytes", "archive"): 10,
        ("watcher_storage_size_bytes", "archive"): 30,
        ("watcher_open_conditions", "session.conflict"): 2,
        ("watcher_quarantine_entries",): 3,
        ("watcher_log_lines_lost_total",): 5,
    }
    assert expected == {key: found[key] for key in expected}
    assert 0 == sum(value for key, value in found.items() if key not in expected)


def test_what_is_nowhere_is_nought():
    """A status without a session, a condition that is not raised: 0, so that alerts can resolve."""
    found = read(PICTURE)
    statuses = {key[1] for key in found if key[0] == "watcher_sessions"}
    assert set(Status) - {Status.DELETED} == statuses
    events = {key[1] for key in found if key[0] == "watcher_open_conditions"}
    assert {name for name, each in EVENTS.items() if each.cleared_by} == events
    assert 0 == found["watcher_open_conditions", "storage.low"]
    assert 0 == found["watcher_session_oldest_seconds", "READY"]


def test_what_is_not_known_is_left_out():
    """A store that is away has no room, a drop nobody watches no count: no sample, and no 0."""
    away = {"store": "archive", "available": False, "free": None, "total": None}
    unknown = {**dict.fromkeys(DROP), "name": "mri", "available": False}
    found = read({**PICTURE, "stores": [away], "drops": [unknown], "started": None, "lost": None})
    assert [("watcher_drop_up", "mri")] == [key for key in found if "mri" in key]
    assert [("watcher_storage_up", "archive")] == [key for key in found if "archive" in key]
    assert ("watcher_start_time_seconds",) not in found
    assert ("watcher_log_lines_lost_total",) not in found


def test_labels_are_words_of_ours_alone():
    """No family is labelled by anything that files or people bring: the number is bounded."""
    text = metrics.text(PICTURE).decode()
    assert {"version", "status", "drop", "outcome", "store", "event"} == set(
        re.findall(r'[{,](\w+)="', text)
    )


def test_a_drop_may_be_called_anything():
    """Quotes, backslashes and letters of any script in a name leave the format whole."""
    name = 'q"uo\\te ü 放射'
    found = read({**PICTURE, "drops": [{**DROP, "name": name}]})
    assert 7 == found["watcher_files_total", name, "filed"]


@pytest.mark.campaign
def test_promtool_finds_nothing_to_say():
    """`promtool check metrics`: names, units, types and HELP texts as Prometheus wants them."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("there is no promtool: apt-get install prometheus")
    done = subprocess.run(
        [promtool, "check", "metrics"], input=metrics.text(PICTURE), capture_output=True
    )
    assert (0, b"", b"") == (done.returncode, done.stdout, done.stderr)
