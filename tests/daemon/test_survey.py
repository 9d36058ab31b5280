"""One picture of the installation: the commands' and the daemon's."""

import json
import os
from dataclasses import replace

import pytest
from imaging import ask, configure, installation, told
from sqlalchemy import delete, insert

from watcher import survey as surveys
from watcher.assembly import command_parts
from watcher.core.session import Status
from watcher.io import tables
from watcher.remembered import UNKNOWN, count_filed, keep_beat
from watcher.report.times import iso
from watcher.settings import load
from watcher.survey import survey, unborn


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return installation(tmp_path_factory)


@pytest.fixture
def parts(made):
    with command_parts(made.settings) as parts:
        yield parts


def live(**of_mri):
    return {
        "started": "2026-06-19T09:14:25.123Z",
        "lost": 4,
        "drops": {"mri": {**UNKNOWN, "available": True, **of_mri}},
    }


def test_sessions_that_wait_for_a_person_come_first(made, parts):
    """CONFLICT and ERROR before the others, each with its findings and the commands about it."""
    found = survey(made.settings, parts)
    statuses = [each["status"] for each in found["open_sessions"]]
    assert ["CONFLICT", "CONFLICT", "READY"] == statuses
    conflict = next(each for each in found["open_sessions"] if each["id"] == made.conflict)
    assert f"watcher show {made.conflict}" == conflict["resolve"][0]
    assert f"watcher relabel {made.conflict} --session L" in conflict["resolve"]
    blocking = [each for each in conflict["findings"] if each["severity"] != "INFO"]
    assert ["study-uid-mismatch", "modality-changed"] == [each["code"] for each in blocking]
    assert (1, 1) == (conflict["scans"], conflict["files"])
    assert conflict["bytes"] > 0


def test_a_ready_session_that_nobody_archives_names_the_command(made, parts):
    """Its project has no auto_archive: it waits for a person as well."""
    ready = survey(made.settings, parts)["open_sessions"][-1]
    assert [f"watcher archive {ready['id']}"] == ready["resolve"]
    assert ready["due"] is None


def test_a_session_of_the_machine_names_what_does_it_again(made, parts):
    """ERROR: the reason is there, and what an administrator types."""
    session = parts.ledger.session(made.conflict)
    broken = replace(session, status=Status.ERROR, error="no space")
    parts.ledger.add(broken, parts.ledger.instances(session.id))
    try:
        found = survey(made.settings, parts)["open_sessions"]
    finally:
        parts.ledger.add(session, parts.ledger.instances(session.id))
    (row,) = (each for each in found if each["id"] == made.conflict)
    assert ("no space", [f"watcher archive {made.conflict}"]) == (row["error"], row["resolve"])


@pytest.mark.parametrize(("inactivity", "expected"), [(60.0, 60.0), (1e6, None)])
def test_a_session_that_receives_is_due(made, parts, inactivity, expected):
    """When it has rested, or has been open for `max_open`, whichever is first; no command."""
    session = parts.ledger.session(made.conflict)
    moment = parts.clock.now()
    given = {"receiving_since": moment, "last_arrival": moment, "inactivity": inactivity}
    receiving = replace(session, status=Status.RECEIVING, **given)
    parts.ledger.add(receiving, parts.ledger.instances(session.id))
    try:
        found = survey(made.settings, parts)["open_sessions"]
    finally:
        parts.ledger.add(session, parts.ledger.instances(session.id))
    (row,) = (each for each in found if each["id"] == made.conflict)
    due = iso(moment + (expected or parts.rules.max_open))
    assert (due, []) == (row["due"], row["resolve"])


def test_no_more_than_a_page_holds_are_shown(made, parts, tmp_path):
    """Two hundred one by one, those that wait for a person among them; the rest is counted."""
    session = next(each for each in parts.ledger.sessions() if each.status is Status.READY)
    more = [replace(session, id=f"19990101_000000{n:03}", label=f"L{n}") for n in range(210)]
    with parts.ledger.write() as tx:
        tx.execute(insert(tables.session), [tables.session_columns(each) for each in more])
    try:
        found = survey(made.settings, parts)
    finally:
        with parts.ledger.write() as tx:
            tx.execute(delete(tables.session).where(tables.session.c.id.startswith("1999")))
    assert (surveys.SESSIONS, 13) == (len(found["open_sessions"]), found["more_sessions"])
    assert ["CONFLICT"] * 2 == [each["status"] for each in found["open_sessions"][:2]]
    assert 211 == found["sessions"]["READY"]


def test_of_what_is_open_the_first_are_shown_and_all_is_counted(made, parts):
    """What nothing else shows comes first, and what waits for somebody; the rest is counted."""
    found = survey(made.settings, parts, rows=1)
    assert [["file.stuck"], ["missing-uid"]] == [
        [each["event"] for each in found["conditions"]],
        [each["code"] for each in found["quarantine"]],
    ]
    assert (5, 1) == (found["more_conditions"], found["more_quarantine"])
    counts = {"file.quarantined": 1, "file.stuck": 3, "session.conflict": 2}
    assert counts == found["open_conditions"]


def test_a_fault_of_the_machine_comes_before_what_files_do(made, parts):
    """However many files are stuck before it, an error is among the first."""
    parts.conditions.raise_("storage.low", "low/archive", parts.clock.now(), store="archive")
    try:
        found = survey(made.settings, parts, rows=2)
    finally:
        parts.conditions.clear("storage.recovered", "low/archive", store="archive")
    assert ["storage.low", "file.stuck"] == [each["event"] for each in found["conditions"]]


def test_a_conflict_has_both_its_sides(made, parts):
    """As `validate` gives them; what only tells has none."""
    shown = survey(made.settings, parts)["open_sessions"]
    (found,) = (each["findings"] for each in shown if each["id"] == made.conflict)
    mismatch = next(each for each in found if each["code"] == "study-uid-mismatch")
    assert ("1.2.11", "1.2.10") == (mismatch["incoming"]["study"], mismatch["archived"]["study"])
    assert "same" == mismatch["evidence"]["PatientID"]
    assert all(("incoming" in each) == (each["severity"] != "INFO") for each in found)


def test_what_is_told_of_a_session_is_bounded(made, parts):
    """However many findings it has and however long they are: so many, and the rest counted."""
    session = parts.ledger.session(made.conflict)
    first = replace(session.findings[0], text="x" * 5000, incoming={"PatientID": "y" * 5000})
    many = replace(session, findings=(first,) * 25, error="z" * 5000)
    parts.ledger.add(many, parts.ledger.instances(session.id))
    try:
        found = survey(made.settings, parts)["open_sessions"]
    finally:
        parts.ledger.add(session, parts.ledger.instances(session.id))
    (row,) = (each for each in found if each["id"] == made.conflict)
    assert (surveys.MANY, 5) == (len(row["findings"]), row["more_findings"])
    assert (surveys.LONG, surveys.LONG) == (len(row["findings"][0]["text"]), len(row["error"]))
    assert surveys.SIDE == len(row["findings"][0]["incoming"]["PatientID"])


def test_the_oldest_of_each_status_has_its_age(made, parts):
    """In seconds since its first file; only of statuses that sessions are in."""
    moment = parts.clock.now()
    opened = min(s.opened for s in parts.ledger.sessions((Status.CONFLICT,)))
    oldest = survey(made.settings, parts)["oldest"]
    assert {"CONFLICT", "READY"} == set(oldest)
    assert moment - opened - 1 < oldest["CONFLICT"]


def test_rates_add_up_by_the_hour_and_are_kept(made):
    """Files filed in this hour, after a restart too; 48 hours, the oldest first."""
    with command_parts(made.settings) as parts:
        before = sum(files for _, files in survey(made.settings, parts)["rates"])
        count_filed(parts, 3)
    with command_parts(made.settings) as parts:
        count_filed(parts, 4)
        rates = survey(made.settings, parts)["rates"]
    assert before + 7 == sum(files for _, files in rates)
    assert 48 == len(rates)
    assert sorted(rates) == rates


def test_a_command_knows_what_the_daemon_kept(made, parts):
    """Of a run that is over nothing; whether a drop is there is looked at, and was not kept."""
    keep_beat(parts, live(filed=7, available=False))
    found = survey(made.settings, parts)
    assert (None, None) == (found["started"], found["drops"][0]["filed"])
    kept = json.loads(parts.ledger.recall("live"))
    assert (7, False) == (kept["drops"]["mri"]["filed"], "available" in kept["drops"]["mri"])


def test_the_daemon_says_what_it_knows(made, parts):
    """Counts, watch mode and availability are its own; it runs, and its heart beats now."""
    found = survey(made.settings, parts, live(filed=7, watch="native", available=False))
    mri = found["drops"][0]
    assert (7, "native", False) == (mri["filed"], mri["watch"], mri["available"])
    assert (True, found["made"], 4) == (found["running"], found["heartbeat"], found["lost"])
    assert found["healthy"]


def test_the_daemon_looks_at_no_drop(tmp_path):
    """One that hangs would hold the page: what the daemon knows of it is taken instead."""
    config = configure(tmp_path)
    settings = load(str(config))
    os.rmdir(tmp_path / "mri")
    document = surveys._drops(settings.drops, live()["drops"], set())
    assert [True, True] == [each["available"] for each in document]


def test_before_the_first_start_the_picture_has_every_key(made, parts, tmp_path):
    """Whoever reads it finds the same keys, before a first start too."""
    before = unborn(load(str(configure(tmp_path))), "nothing there")
    after = survey(made.settings, parts)
    assert set(after) == set(before)
    assert [set(each) for each in after["drops"]] == [set(each) for each in before["drops"]]


def test_the_picture_is_json(made, parts):
    """What a command prints and a page is made of are the same plain values."""
    found = survey(made.settings, parts, live())
    again = json.loads(json.dumps(found))
    assert [list(each) for each in found.pop("rates")] == again.pop("rates")
    assert found == again


def test_people_read_why_a_session_waits_and_what_to_type(made, capsys):
    """`watcher status`: a row for each that waits, with its reason and the first command."""
    _, said = told(capsys, made.config, "status")
    line = next(each for each in said.splitlines() if each.startswith(made.conflict))
    assert "study-uid-mismatch: Invalid modification of session UID" in line
    assert "(and 1 more)" in line
    assert f"watcher show {made.conflict}" in line
    ready = next(each for each in said.splitlines() if " READY " in each)
    assert "not archived by itself" in ready
    assert "watcher archive" in ready


def test_people_are_told_when_none_waits(tmp_path, capsys):
    """Before the first start nothing waits, and that is said."""
    config = configure(tmp_path)
    assert "no session waits for a person" in told(capsys, config, "status")[1]
    assert [] == ask(capsys, config, "status")[1]["open_sessions"]
