"""A session survives being written down and read again."""

import json
from dataclasses import fields

from filed import session
from hypothesis import given
from hypothesis import strategies as st

from watcher.core.record import (
    decision_of,
    decision_values,
    finding_of,
    finding_values,
    session_of,
    session_values,
)
from watcher.core.session import Decision, Finding, Session, Severity, Status

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
plain = st.dictionaries(text, st.integers() | text | st.none() | st.booleans(), max_size=3)
pairs = st.none() | st.tuples(st.none() | text, text)
findings = st.builds(
    Finding,
    code=text,
    xnat=st.lists(st.integers(0, 30), max_size=2).map(tuple),
    severity=st.sampled_from(Severity),
    text=text,
    scope=text,
    incoming=plain,
    archived=plain,
    evidence=plain,
    resolve=st.lists(text, max_size=2).map(tuple),
)
decisions = st.builds(
    Decision,
    when=st.floats(0, 2e9),
    who=text,
    command=text,
    reason=text,
    passed=st.lists(text, max_size=2).map(tuple),
    study=text,
    key_from=pairs,
    key_to=pairs,
    subject=text,
    studies=st.lists(text, max_size=2).map(tuple),
    policy=st.sampled_from(["", "overwrite", "keep"]),
)
sessions = st.builds(
    session,
    project=st.none() | text,
    status=st.sampled_from(Status),
    generation=st.integers(0, 9),
    revision=st.integers(0, 9),
    auto_archive=st.none() | st.booleans(),
    hold_auto=st.booleans(),
    drops=st.lists(text, max_size=2).map(tuple),
    origins=st.dictionaries(text, text, max_size=2),
    scan_ids=st.dictionaries(text, text, max_size=2),
    target=st.none() | st.tuples(st.none() | text, text, text),
    error=text,
    partly=st.booleans(),
    findings=st.lists(findings, max_size=2).map(tuple),
    decisions=st.lists(decisions, max_size=2).map(tuple),
)


@given(sessions)
def test_session_there_and_back(row):
    """What `LABEL.json` holds gives the same session, every field of it."""
    assert row == session_of(json.loads(json.dumps(session_values(row))))


@given(findings)
def test_finding_there_and_back(row):
    """A finding shown as JSON is the same finding."""
    assert row == finding_of(json.loads(json.dumps(finding_values(row))))


@given(decisions)
def test_decision_there_and_back(row):
    """A decision read from its line is the same decision."""
    assert row == decision_of(json.loads(json.dumps(decision_values(row))))


def test_a_record_of_an_earlier_version():
    """What it did not write down yet is as it was then: one study, no policy, no part."""
    decision = Decision(1.0, "who", "archive", "why", ("x",), "S1")
    values = decision_values(decision)
    del values["studies"], values["policy"]
    assert decision == decision_of(values)
    row = session_values(session())
    del row["partly"]
    assert session() == session_of(row)


@given(sessions)
def test_a_record_of_a_later_version(row):
    """What a newer version wrote down besides is passed over, at every level."""
    values = session_values(row)
    for each in (values, *values["findings"], *values["decisions"]):
        each["later"] = {"more": [1]}
    assert row == session_of(json.loads(json.dumps(values)))


def test_every_field():
    """No field of a session, finding or decision is left out of its record."""
    finding = Finding("x", (), Severity.INFO, "", "session")
    decision = Decision(0.0, "", "", "")
    shown = [session_values(session()), finding_values(finding), decision_values(decision)]
    for kind, values in zip((Session, Finding, Decision), shown, strict=True):
        assert {each.name for each in fields(kind)} == set(values)
