"""The identification chain: XNAT's, with the drop, its layout and the rules before it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.core import names, route
from watcher.core.file import Header
from watcher.core.policy import Drop, Identify, Project, Projects, Rule, Template
from watcher.core.session import SessionKey
from watcher.core.tags import TAGS

PROJECTS = Projects({"PROJ1": Project("PROJ1", aliases=("P1",)), "Other": Project("Other")})
COMMENTS = ("PatientComments", "StudyComments", "AdditionalPatientHistory")


def identify(path=b"f.dcm", *, drop=None, layout=(), rules=None, **values):
    header = Header({TAGS[word]: value for word, value in values.items()})
    return route.identify(
        header,
        drop=Drop("mri", "/drop", project=drop, layout=layout),
        path=path,
        identify=rules or Identify(),
        projects=PROJECTS,
    )


def template(text):
    return route.parse_template(text, TAGS.get)


def test_nothing_known():
    """Without any hint a file is Unassigned, of subject `unknown`, in `dicom_upload`."""
    found = identify(StudyInstanceUID="1.2")
    assert SessionKey(None, "1.2", "dicom_upload") == found.key
    assert (found.subject, found.auto_archive) == ("unknown", None)
    expected = dict.fromkeys(("project", "subject", "session"), "default")
    assert expected | {"auto_archive": "project"} == found.origins


PROJECT_CHAIN = [
    ("AccessionNumber", {"AccessionNumber": "PROJ1"}, "PROJ1"),
    ("StudyDescription", {"StudyDescription": "other"}, "Other"),
    ("AdditionalPatientHistory", {"AdditionalPatientHistory": "Project:PROJ1"}, "PROJ1"),
    ("StudyComments", {"StudyComments": "Project: Other"}, "Other"),
    ("PatientComments", {"PatientComments": "project : p1"}, "PROJ1"),
]


@pytest.mark.parametrize("depth", range(len(PROJECT_CHAIN)))
def test_project_chain(depth):
    """Each source of the project wins over all below it."""
    values = {}
    for _, more, _ in PROJECT_CHAIN[: depth + 1]:
        values |= more
    origin, _, expected = PROJECT_CHAIN[depth]
    found = identify(**values)
    assert (expected, origin) == (found.key.project, found.origins["project"])


def test_rules_come_before_comments():
    """Configured rules are tried before the built-in chain, in their order."""
    rules = Identify(
        project=(
            route.parse_rule("(0008,1030):x(.*)"),
            route.parse_rule("(0008,1030):([^_]+)_.*"),
            template("{StationName}"),
        )
    )
    found = identify(
        rules=rules,
        StudyDescription="other_brain",
        PatientComments="Project:PROJ1",
        StationName="P1",
    )
    assert (found.key.project, found.origins["project"]) == ("Other", "rule (0008,1030)")
    found = identify(rules=rules, StationName="P1", PatientComments="Project:Other")
    assert (found.key.project, found.origins["project"]) == ("PROJ1", "template {StationName}")


def test_unknown_candidates_are_passed_over():
    """A candidate counts only as a known project or alias; else the chain goes on."""
    found = identify(
        PatientComments="Project:Nobody", StudyComments="Project:", AccessionNumber="p1"
    )
    assert (found.key.project, found.origins["project"]) == ("PROJ1", "AccessionNumber")


def test_the_drops_project_wins():
    """A drop's project wins over its layout and every tag; an alias means its project."""
    found = identify(
        b"Other/s/f", drop="p1", layout=("{project}", "{session}"), AccessionNumber="Other"
    )
    assert (found.key.project, found.origins["project"]) == ("PROJ1", "drop")
    assert identify(drop="New").key.project == "New"


def test_layout_names_the_session():
    """Directories win over rules and tags; deeper ones do not matter."""
    found = identify(
        b"in/p1/any/S 1/20260619_091425123/L1/SCANS/7/f.dcm",
        layout=("in", "{project}", "*", "{subject}", "{timestamp}", "{session}"),
        rules=Identify(subject=(template("{PatientID}"),), session=(template("{PatientID}"),)),
        PatientID="p",
    )
    assert SessionKey("PROJ1", "", "L1") == found.key
    assert found.subject == "S_1"
    assert found.origins["timestamp"] == "20260619_091425123"
    assert [found.origins[k] for k in ("project", "subject", "session")] == ["layout"] * 3
    assert "layout" not in found.origins


def test_layout_with_an_unknown_project():
    """A layout that names an unknown project makes the file Unassigned, whatever the tags say."""
    found = identify(b"Nobody/L/f", layout=("{project}", "{session}"), AccessionNumber="PROJ1")
    assert (found.key.project, found.origins["project"]) == (None, "layout")


@pytest.mark.parametrize("path", [b"f", b"a/f", b"b/L1/f"])
def test_layout_that_does_not_fit(path):
    """Too few directories, or another literal: the tags decide, and the origins say so."""
    found = identify(path, layout=("a", "{session}"), PatientID="pid", PatientName="DOE^J")
    assert (
        found.key.label,
        found.origins["session"],
        found.origins["layout"],
    ) == ("pid", "PatientID", "no match")
    assert (found.subject, found.origins["subject"]) == ("DOE_J", "PatientName")


def test_a_timestamp_is_kept_as_it_stands():
    """Folders of other names are other sessions, whatever a label would make of them."""
    given_names = [b"a b", b"a_b", b"a\nb", b"A_B", b"\xff", b"x" * 255]
    layout = ("{timestamp}", "{session}")
    found = {identify(name + b"/L/f", layout=layout).origins["timestamp"] for name in given_names}
    assert len(given_names) == len(found)


@pytest.mark.parametrize("name", [b"a\nb", b"\xff", b"x" * 255, b"a..b", b"~", b"`id`"])
def test_hostile_folders_become_labels(name):
    """Whatever a folder is called, the session's label and its subject are of XNAT's alphabet."""
    found = identify(name + b"/" + name + b"/f", layout=("{subject}", "{session}"))
    assert names.is_label(found.key.label)
    assert names.is_label(found.subject)


def test_literal_parts_match_exactly():
    """A literal part is that very name: no other case, no part of it, no pattern but `*` alone."""
    layout = ("in*", "{session}")
    assert "layout" not in identify(b"in*/L/f", layout=layout).origins
    for other in (b"IN*", b"in", b"inbox"):
        assert route.NO_MATCH == identify(other + b"/L/f", layout=layout).origins["layout"]


def test_layout_of_names_that_are_not_utf8():
    """Directories that differ in a byte outside UTF-8 are different sessions."""
    labels = {identify(b"M%cller/f" % x, layout=("{session}",)).key.label for x in (0xFC, 0xF6)}
    assert len(labels) == 2


@pytest.mark.parametrize("keyword", COMMENTS)
def test_assignments_stand_in_three_tags(keyword):
    """Subject, session and AA are read from each of the three comments."""
    found = identify(
        **{keyword: "Project:PROJ1 Subject:subj001 Session:subj001_MR1 AA:true"},
        PatientName="n",
        PatientID="i",
    )
    assert (
        found.key.project,
        found.key.label,
        found.subject,
        found.auto_archive,
    ) == ("PROJ1", "subj001_MR1", "subj001", True)
    assert {"project", "subject", "session", "auto_archive"} == set(found.origins)
    assert {keyword} == set(found.origins.values())


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("a", "Subject:a"),
        ("a", "subject : a"),
        ("a", "x;SUBJECT:a,y"),
        ("a", "line one\r\nSubject: a\nline three"),
        ("a-1_b", "Subject:a-1_b"),
        ("b", "Subject: Subject:b"),
        ("a", "Subject:a Subject:b"),
        ("-", "MySubject:a"),
        ("-", "Subject:Bob's"),
        ("-", "Subject:"),
        ("-", "Subject:\na"),
        ("-", "Subject: Session:x"),
        ("-", "Subject:é"),
        ("-", "Subject a"),
    ],
)
def test_assignment_syntax(expected, text):
    """`Name: value` between separators, on any line; an empty value lets the chain go on."""
    assert expected == identify(PatientComments=text, PatientName="-").subject


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ((True, "PatientComments"), "AA:T"),
        ((True, "PatientComments"), "aa: True"),
        ((False, "PatientComments"), "AA:f"),
        ((False, "PatientComments"), "AA:perhaps AA:FALSE"),
        ((True, "StudyComments"), "AA:yes"),
        ((True, "StudyComments"), "AA:"),
    ],
)
def test_auto_archive(expected, text):
    """`t/true` and `f/false`, ignoring case; anything else is no answer."""
    found = identify(PatientComments=text, StudyComments="AA:true")
    assert expected == (found.auto_archive, found.origins["auto_archive"])


def subject_by(rule, text):
    return identify(
        rules=Identify(subject=(route.parse_rule(rule),)), StudyDescription=text, PatientName="-"
    ).subject


@pytest.mark.parametrize(
    ("expected", "rule", "text"),
    [
        ("ab", "(0008,1030):(a.)c*", "abcc"),
        ("-", "(0008,1030):(a.)c*", "abcd"),
        ("-", "(0008,1030):(a)?b", "b"),
        ("bc", "(0008,1030):(a)(bc):2", "abc"),
        ("abc", "(0008,1030):a.c:0", "abc"),
        ("one", "(0008,1030):Project:(\\w+)", "Project:one"),
        ("x" * 64, "(0008,1030):(.*)", "x" * 70),
        ("-", "(0008,1030):(\\w+)", "Müller"),
        ("a_b_c", "(0008,1030):(.*) t:\\. r:_", "a.b.c"),
        ("b-a", "(0008,1030):(.*) t:(.)(.)(z)? r:$2-$1$3", "ab"),
        ("a_b", "(0008,1030):(.*) t:x r:\\$", "axb"),
        ("ab", "(0008,1030):(.*) t:x r:", "axb"),
        ("-", "(0008,1031):(.*)", "ab"),
        ("-", "(0008,1030):( *)", "  "),
    ],
)
def test_rule(expected, rule, text):
    """Full match, group 1 by default, cut to 64 without replacement; Java's replacement text."""
    assert expected == subject_by(rule, text)


def test_parse_rule():
    """A rule is read part by part; what is not said is XNAT's default."""
    assert Rule(0x00081030, "([^_]+)_.*") == route.parse_rule(" (0008,1030):([^_]+)_.* ")
    expected = Rule(0x0010ABCD, "(a:)(b)", 2, "x y", "$0")
    assert expected == route.parse_rule("(0010,abcd):(a:)(b):2 t:x y r:$0")


@pytest.mark.parametrize(
    ("says", "text"),
    [
        ("A rule is written", "0008,1030:(.*)"),
        ("A rule is written", "(0008,103):(.*)"),
        ("A rule is written", "(0008,1030):"),
        ("no regular expression", "(0008,1030):(.*"),
        ("no regular expression", "(0008,1030):(a{99999999999999999999})"),
        ("no regular expression", "(0008,1030):(.*) t:( r:x"),
        ("has no group 1", "(0008,1030):.*"),
        ("has no group 3", "(0008,1030):(.*):3"),
        ("has no group 1", "(0008,1030):(.*) t:a r:$1"),
        ("wants a backslash", "(0008,1030):(.*) t:a r:$"),
        ("wants a backslash", "(0008,1030):(.*) t:a r:\\"),
    ],
)
def test_parse_rule_refuses(says, text):
    """A bad tag, regex, group or replacement is one sentence."""
    with pytest.raises(ValueError, match=says):
        route.parse_rule(text)


def test_template():
    """Keywords are filled in; where one is missing the chain goes on."""
    rules = Identify(session=(template("{PatientID}_{StudyDate}"), template("v{StudyDate}")))
    found = identify(rules=rules, PatientID="a", StudyDate="20260619")
    expected = ("a_20260619", "template {PatientID}_{StudyDate}")
    assert expected == (found.key.label, found.origins["session"])
    assert identify(rules=rules, StudyDate="20260619").key.label == "v20260619"
    assert identify(rules=rules, PatientID="a").key.label == "a"


def test_parse_template():
    """A template knows the tags of its keywords."""
    assert Template("x{PatientID}", {"PatientID": 0x00100020}) == template("x{PatientID}")


@pytest.mark.parametrize(
    ("says", "text"),
    [
        ("no DICOM keyword in braces", "plain"),
        ("no DICOM keyword", "{PatientId}"),
        ("no DICOM keyword", "{}"),
        ("brace without its partner", "{PatientID"),
        ("brace without its partner", "{PatientID}}"),
        ("brace without its partner", "{{PatientID}"),
    ],
)
def test_parse_template_refuses(says, text):
    """An unknown keyword, a lone brace, no keyword: one sentence."""
    with pytest.raises(ValueError, match=says):
        template(text)


@given(st.dictionaries(st.sampled_from(sorted(TAGS.values())), st.text()), st.binary())
def test_identify_never_fails(values, path):
    """Any header and path have a place, whose label is one and whose origins are complete."""
    found = route.identify(
        Header(values),
        drop=Drop("d", "/d", layout=("{project}", "{session}")),
        path=path,
        identify=Identify(session=(template("{PatientID}"), route.parse_rule("(0010,0010):(.*)"))),
        projects=PROJECTS,
    )
    assert {"project", "subject", "session", "auto_archive"} <= set(found.origins)
    assert found.key.label
    assert found.subject
