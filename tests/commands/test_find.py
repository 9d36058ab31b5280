"""`watcher find`."""

import hashlib
import json

import pytest
from imaging import ask, installation, told

SERIES_FOLDER = "PROJ1/S001/SCANS/1"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return installation(tmp_path_factory)


def found(capsys, made, text):
    """Kind and session of everything found."""
    code, hits = ask(capsys, made.config, "find", text)
    assert code == 0
    assert all(list(hit) == ["kind", "where", "session"] for hit in hits)
    return {(hit["kind"], hit["session"]) for hit in hits}


def logged(made, event, field, **wanted):
    """The value of a field in the first line of the log that has these."""
    lines = [json.loads(line) for line in (made.base / "watcher.jsonl").read_text().splitlines()]
    return next(
        line[field]
        for line in lines
        if line["event"] == event and all(line.get(key) == wanted[key] for key in wanted)
    )


@pytest.mark.parametrize(
    ("text", "kind", "session"),
    [
        ("1.2.13", "study", "ready"),
        ("1.2.13.1", "series", "ready"),
        ("1.2.13.1.1", "file", "ready"),
        ("s003", "label", "ready"),
        ("doe_john", "subject", "unassigned"),
        ("IM7.dcm", "source file", "ready"),
        ("waits", "source folder", "ready"),
        ("1.2.13-1-1", "file", "ready"),
        ("1.2.10", "archived study", "archived"),
        ("1.2.10.1", "archived series", "archived"),
        ("1.2.10.1.1", "archived file", "archived"),
        ("S001", "archived label", "archived"),
        ("DOE_JANE", "archived subject", "archived"),
        ("1.2.10-1-1", "archived file", "archived"),
    ],
)
def test_uids_labels_and_names_are_found(made, capsys, text, kind, session):
    """In the prearchive and in the archive; UIDs whole, names in part and ignoring case."""
    assert (kind, getattr(made, session)) in found(capsys, made, text)


def test_a_file_is_found_by_its_digest(made, capsys):
    """The MD5 of a filed file leads to it, staged or archived."""
    for place, kind, session in (
        ("prearchive/PROJ2", "file", made.ready),
        ("archive/PROJ1", "archived file", made.archived),
    ):
        path = next((made.base / "imaging" / place).rglob("*.dcm"))
        digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        assert found(capsys, made, digest) == {(kind, session)}


def test_a_series_is_found_in_its_scan(made, capsys):
    """Where says project, label and scan."""
    _, hits = ask(capsys, made.config, "find", "1.2.10.1")
    assert [hit["where"] for hit in hits] == [SERIES_FOLDER]


def test_a_part_of_a_uid_is_no_uid(made, capsys):
    """UIDs and digests are compared whole: `1.2.1` is no series."""
    assert not {kind for kind, _ in found(capsys, made, "1.2.13.1.")} & {"series", "study"}


def test_the_files_of_a_session_that_fits_are_not_told_one_by_one(made, capsys):
    """A study is in the name of each of its files; the session alone is the answer."""
    assert found(capsys, made, "1.2.13") == {("study", made.ready)}


@pytest.mark.parametrize("text", ["notes.txt", "nostudy", "second"])
def test_what_is_in_quarantine_is_found(made, capsys, text):
    """By the name it came with, and by the folder it lay in."""
    assert ("quarantine", "") in found(capsys, made, text)


def test_an_entry_is_found_by_its_id(made, capsys):
    """The id of a quarantine entry leads to its place and source."""
    _, stands = ask(capsys, made.config, "status")
    for entry in stands["quarantine"]:
        _, hits = ask(capsys, made.config, "find", entry["id"])
        assert f"{entry['place']} from mri/{entry['path']}" in {hit["where"] for hit in hits}


def test_coded_values_of_the_log_are_shown(made, capsys):
    """Label, subject and path of the log's lines, coded there, are found; a key as it stands."""
    of = {"session": made.conflict}
    label = logged(made, "session.conflict", "label", **of)
    subject = logged(made, "session.conflict", "subject", **of)
    path = logged(made, "file.quarantined", "path", code="missing-uid")
    key = logged(made, "file.quarantined", "key", code="not-dicom")
    config = logged(made, "daemon.started", "config")
    assert all(each.startswith("~") for each in (label, subject, path, config))
    assert key.startswith("quarantine/aside-")
    assert {("label", made.conflict), ("archived label", made.archived)} <= found(
        capsys, made, label
    )
    assert ("subject", made.conflict) in found(capsys, made, subject)
    assert ("quarantine", "") in found(capsys, made, path)
    assert ("quarantine", "") in found(capsys, made, key)
    assert found(capsys, made, config) == {("configuration", "")}


def test_a_session_is_found_by_its_id(made, capsys):
    """An id, staged or archived, names its session."""
    assert ("session", made.ready) in found(capsys, made, made.ready)
    assert ("archived", made.archived) in found(capsys, made, made.archived)


def test_nothing_found_is_said(made, capsys):
    """Nothing fits: exit 0 and a sentence; an empty search is a usage error."""
    assert told(capsys, made.config, "find", "nonesuch") == (0, "nothing fits 'nonesuch'\n")
    assert told(capsys, made.config, "find", "~00000000")[0] == 0
    assert told(capsys, made.config, "find", " ")[0] == 2


def test_a_damaged_catalog_is_told_as_such(made, capsys):
    """A catalog that can't be read is named where the text is in it."""
    path = next((made.base / "imaging/archive/PROJ1").rglob("scan_1_catalog.xml"))
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[:-20])
        hits = found(capsys, made, "1.2.10.1.1")
    finally:
        path.write_bytes(whole)
    assert hits == {("damaged catalog", made.archived)}
