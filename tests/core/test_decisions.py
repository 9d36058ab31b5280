"""How far a person's decisions reach."""

from dataclasses import replace

import pytest
from filed import made, session
from hypothesis import given
from hypothesis import strategies as st

from watcher.core.decisions import passed, policy_of
from watcher.core.policy import Project
from watcher.core.session import Decision


def decision(when=1.0, *codes, study="S1", studies=(), policy=""):
    return Decision(when, "who", "archive", "why", codes, study, studies=studies, policy=policy)


def arrived(when):
    return replace(made(), arrived=when)


def test_without_a_decision_nothing_is_passed_or_settled():
    """The project's own policy is none unless it says so."""
    assert frozenset() == passed(session(), ["S1"])
    assert [""] * 2 == [policy_of(session(), p)(arrived(0)) for p in (None, Project("P"))]


@pytest.mark.parametrize(
    ("studies", "expected"),
    [
        (["S1"], {"a", "b"}),
        (["S2"], {"b"}),
        (["S1", "S2"], {"b"}),
        (["S1", "S3"], set()),
        (["S3"], set()),
        ([], {"a", "b"}),
    ],
)
def test_a_code_is_passed_for_the_studies_that_were_known(studies, expected):
    """Each decision speaks for the studies the session held then, and for no others."""
    row = session(decisions=(decision(1.0, "a"), decision(2.0, "b", studies=("S1", "S2"))))
    assert expected == passed(row, studies)


def test_the_study_it_was_decided_for_is_among_those_known():
    """A decision written down before all studies were has that one only."""
    row = session(decisions=(decision(1.0, "a", study="S1", studies=("S2",)),))
    assert {"a"} == passed(row, ["S1", "S2"])


def test_a_policy_covers_what_had_arrived():
    """The last decision there is over a file counts; one that settled no files is none."""
    row = session(
        decisions=(
            decision(1.0, policy="overwrite"),
            decision(2.0, policy="keep"),
            decision(3.0, "study-uid-mismatch"),
        )
    )
    expected = {0.5: "keep", 1.5: "keep", 2.0: "keep", 2.5: ""}
    policy = policy_of(row, Project("P"))
    assert expected == {when: policy(arrived(when)) for when in expected}


def test_the_project_speaks_for_what_came_after():
    """XNAT code 5; a person's decision to keep outweighs it for the files there were."""
    row = session(decisions=(decision(1.0, policy="keep"),))
    policy = policy_of(row, Project("P", overwrite=True))
    assert ["keep", "overwrite"] == [policy(arrived(when)) for when in (1.0, 1.1)]


@given(
    st.lists(st.tuples(st.floats(0, 9), st.sampled_from(["overwrite", "keep"]))), st.floats(0, 9)
)
def test_a_later_decision_never_undoes_for_late_files_what_was_undecided(made_then, when):
    """Decisions made before a file came say nothing of it."""
    made_then.sort()
    row = session(decisions=tuple(decision(moment, policy=word) for moment, word in made_then))
    after = [word for moment, word in made_then if moment >= when]
    assert (after[-1] if after else "") == policy_of(row, None)(arrived(when))


def test_a_decision_was_made_for_a_place():
    """A session that is moved or relabelled is asked about again; back home it is not."""
    codes, files = decision(1.0, "a"), decision(1.0, policy="keep")
    made_at = tuple(replace(each, key_to=("PROJ1", "S001_MR1")) for each in (codes, files))
    home = session(decisions=made_at)
    away = replace(home, label="S001_MR2")
    assert ({"a"}, "keep") == (passed(home, ["S1"]), policy_of(home, None)(arrived(1.0)))
    assert (set(), "") == (passed(away, ["S1"]), policy_of(away, None)(arrived(1.0)))
