"""Every word a person meets is explained."""

import re

from watcher.core.case import CODES
from watcher.core.events import EVENTS
from watcher.core.explain import EXPLANATIONS, find
from watcher.core.file import RefusalCode
from watcher.core.session import Status

# spec 10, the table: code and XNAT's numbers
FINDINGS = {
    "session-exists": ("1",),
    "study-elsewhere": ("2", "3"),
    "subject-changed": ("4",),
    "study-uid-mismatch": ("5",),
    "mixed-studies": (),
    "no-project": ("6",),
    "schema-invalid": ("13",),
    "modality-changed": ("19",),
    "same-instance": ("14", "16"),
    "instance-differs": ("14", "22"),
    "instance-other-class": (),
    "duplicate-in-session": ("22",),
    "scan-number-taken": ("17",),
    "scan-uid-elsewhere": ("18",),
    "stray-file": ("20",),
    "catalog-missing": ("21",),
    "unreadable-file": (),
    "label-shared": (),
    "incomplete": (),
    "maybe-incomplete": (),
}


def _words(kind):
    return {one.word for one in EXPLANATIONS if one.kind == kind}


def test_every_word_is_explained():
    """Events, statuses, refusals and exit codes: all of them, and no other."""
    assert _words("event") == set(EVENTS)
    assert _words("status") == {str(one) for one in Status}
    assert _words("refusal") == {str(one) for one in RefusalCode}
    assert _words("exit code") == {"0", "1", "2", "3", "4", "10", "11", "12", "130"}


def test_findings_are_those_of_the_contract_with_their_numbers():
    """The table of findings, XNAT's numbers as other names."""
    assert {one.word: one.also for one in EXPLANATIONS if one.kind == "finding"} == FINDINGS


def test_everything_explained_is_said_by_this_version():
    """Every finding is raised, every refusal met: `archive-file` of units that go to quarantine."""
    assert [one.word for one in EXPLANATIONS if not one.raised] == []


def test_the_table_of_findings_is_that_of_validation():
    """What is explained is what can be found, with the same numbers in the same order."""
    assert {code: tuple(map(str, numbers)) for code, numbers in CODES.items()} == FINDINGS
    assert list(CODES) == list(FINDINGS)


def test_each_says_what_it_means_and_what_to_do():
    """A meaning that is a sentence; whoever acts is told how, with well-formed quotes."""
    for one in EXPLANATIONS:
        assert one.meaning.endswith("."), one.word
        assert bool(one.todo) >= bool(one.who), one.word
        assert one.todo.count("`") % 2 == 0, one.word
        assert not re.search(r"[{}]", one.meaning + one.todo), one.word


def test_conflict_and_error_say_who_acts():
    """CONFLICT is for who knows the data, ERROR for the administrator (spec 9)."""
    who = {one.word: one.who for one in EXPLANATIONS if one.kind == "status" and one.who}
    assert who == {"CONFLICT": "data", "ERROR": "admin"}


def test_a_word_is_found_whatever_its_case():
    """Exact words first, ignoring case and space around."""
    assert [one.word for one in find(" conflict ")] == ["CONFLICT"]
    assert [one.word for one in find("Session.Conflict")] == ["session.conflict"]


def test_a_number_is_an_exit_code_or_a_finding():
    """XNAT's number finds every finding that has it, and an exit code of the same number."""
    assert [one.word for one in find("14")] == ["same-instance", "instance-differs"]
    assert [one.word for one in find("1")] == ["session-exists", "1"]


def test_the_nearest_words_stand_in_for_a_misspelt_one():
    """A part of a word, or a slip of the fingers, finds its neighbours; nonsense nothing."""
    assert "study-uid-mismatch" in [one.word for one in find("uid-mis")]
    assert "RECEIVING" in [one.word for one in find("recieving")]
    assert find("zzzzzz") == ()
