from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.core import evidence, policy
from watcher.core.archived import Archived, ArchivedResource, ArchivedScan, Entry
from watcher.core.case import counted
from watcher.core.check import (
    ALLOWABLE,
    CODES,
    FORCEABLE,
    HOLDABLE,
    Elsewhere,
    Seen,
    check,
    held,
    merged_type,
    verdict,
)
from watcher.core.complete import Gap
from watcher.core.decisions import policy_of
from watcher.core.file import Header
from watcher.core.match import Comparison
from watcher.core.plan import merge
from watcher.core.session import (
    Decision,
    Instance,
    Place,
    Scan,
    ScanResource,
    Session,
    Severity,
    Status,
)
from watcher.core.tags import TAGS

MR = "1.2.840.10008.5.1.4.1.1.4"
PET = "1.2.840.10008.5.1.4.1.1.128"
ID = "20260619_091425123"
PERSON = {
    "PatientID": "P7",
    "PatientName": "DOE^JANE",
    "PatientBirthDate": "19700102",
    "StationName": "MR1",
    "StudyDate": "20260619",
    "StudyTime": "091400.5",
}
FIELDS = {**PERSON, "PatientBirthDate": "1970-01-02", "StudyDate": "2026-06-19"}


def instance(sop="1.1", digest="a" * 32, *, study="S1", series="1.7", scan="7", name=None, **words):
    words = {
        **PERSON,
        "SOPInstanceUID": sop,
        "SOPClassUID": MR,
        "StudyInstanceUID": study,
        "SeriesInstanceUID": series,
        **words,
    }
    header = Header({TAGS[word]: text for word, text in words.items() if text})
    return Instance(Place(scan, "DICOM", name or f"{sop}.dcm"), digest, 1, header, 0.0)


def scan(*instances, scan_id="7", uid="1.7", xsi_type="xnat:mrScanData", modality="MR"):
    return Scan(scan_id, uid, xsi_type, modality, (ScanResource("DICOM", instances),))


def old_scan(*entries, scan_id="7", uid="1.7", xsi_type="xnat:mrScanData", modality="MR"):
    held = ArchivedResource("DICOM", f"SCANS/{scan_id}/DICOM/c.xml", entries)
    return ArchivedScan(scan_id, uid, xsi_type, modality, (held,))


def archive(*scans, **changes):
    base = Archived("P", "L", "Subj", "W_E1", "S1", (), "MRSession", scans, FIELDS)
    return replace(base, **changes)


SESSION = Session(ID, "P", "subj", "L", "S1", Status.BUILDING, 0.0, 0.0, 0.0, 300.0)
PROJECT = policy.Project("P")
ONE = (scan(instance()),)


def run(session=SESSION, scans=ONE, *, project=PROJECT, archived=None, answers=None, **more):
    planned = merge(
        scans,
        archived,
        compared=answers or {},
        taken=lambda *_: False,
        policy=policy_of(session, project),
    )
    return check(session, scans, project=project, archived=archived, merge=planned, **more)


def decided(*codes, studies=("S1",), settled="", session=SESSION):
    made = Decision(
        9.0, "who", "archive", "why", tuple(codes), session.study, studies=studies, policy=settled
    )
    return replace(session, decisions=(*session.decisions, made))


def codes(findings):
    return [finding.code for finding in findings]


def only(code, findings):
    [found] = [finding for finding in findings if finding.code == code]
    return found


def test_a_new_session_in_order_has_no_findings():
    """Nothing archived, nothing wrong: nothing to say, and the verdict is ok."""
    assert run() == ()
    assert check(SESSION, ONE, project=None, archived=None, merge=None) == ()
    assert verdict(()) == "ok"


def test_an_archived_session_of_the_same_study_is_only_information():
    """XNAT 1: the newcomers are merged."""
    findings = run(archived=archive())
    assert [(f.code, f.xnat, f.severity) for f in findings] == [
        ("session-exists", (1,), Severity.INFO)
    ]
    assert verdict(findings) == "ok"


def test_a_differing_study_uid_conflicts_in_xnats_words():
    """XNAT 5, with both sides, the evidence and the commands that settle it."""
    found = only("study-uid-mismatch", run(archived=archive(study="S2")))
    assert found.text == "Invalid modification of session UID via archive process."
    assert (found.xnat, found.severity, found.scope) == ((5,), Severity.CONFLICT, "session")
    assert found.resolve == (
        f"watcher relabel {ID} --session L",
        f'watcher archive {ID} --force --reason "..."',
    )
    assert found.incoming == {
        "project": "P",
        "subject": "subj",
        "label": "L",
        "study": "S1",
        "PatientID": "P7",
        "PatientName": "DOE^JANE",
        "PatientBirthDate": "19700102",
        "PatientSex": "",
        "StudyID": "",
        "StationName": "MR1",
        "StudyDate": "20260619",
    }
    assert (found.archived["study"], found.archived["subject"]) == ("S2", "Subj")
    assert found.archived["StudyDate"] == "2026-06-19"
    assert found.evidence["PatientID"] == "same"
    assert found.evidence["PatientSex"] == "missing"


@pytest.mark.parametrize("changes", [{"study": ""}, {"study": "S2", "accepted": ("S1",)}])
def test_a_missing_or_accepted_study_is_no_mismatch(changes):
    """A study a person let in counts as the session's own; a missing UID is none (XNAT 6.2 f)."""
    assert codes(run(archived=archive(**changes))) == ["session-exists"]


def test_a_session_without_any_study_is_no_mismatch():
    """The incoming side may lack the UID too."""
    scans = (scan(instance(study="")),)
    assert codes(run(replace(SESSION, study=""), scans, archived=archive())) == ["session-exists"]


def test_the_files_decide_which_study_comes_not_the_key():
    """With `layout` a session may hold another study than its key says."""
    scans = (scan(instance(study="S2")),)
    assert "study-uid-mismatch" in codes(run(scans=scans, archived=archive()))


def test_mixed_studies_conflict_until_they_are_accepted():
    """Several studies in one session: split or force; not where each is the archived one's."""
    scans = (scan(instance(), instance("1.2"), instance("1.3", study="S2", PatientID="P8")),)
    found = only("mixed-studies", run(scans=scans))
    assert found.text == "Cannot merge sessions with different Study Instance UIDs"
    assert (found.severity, found.xnat) == (Severity.CONFLICT, ())
    assert found.resolve == (
        f"watcher split {ID}",
        f'watcher archive {ID} --force --reason "..."',
    )
    assert found.evidence["files_by_study"] == {"S1": 2, "S2": 1}
    assert found.evidence["PatientID"] == "differs"
    sides = found.incoming, found.archived  # the study of most files, and the others
    assert [("S1", "P7"), ("S2", "P8")] == [(side["study"], side["PatientID"]) for side in sides]
    assert "mixed-studies" in codes(run(scans=scans, archived=archive()))
    accepted = run(scans=scans, archived=archive(accepted=("S2",)))
    assert codes(accepted) == ["session-exists"]


def test_another_subject_fails_whoever_forces_it():
    """XNAT 4: a FAIL stays one; the same subject in other letters is no change."""
    findings = run(decided(*CODES), archived=archive(subject="It's"))
    found = findings[0]
    assert (found.code, found.severity) == ("subject-changed", Severity.FAIL)
    assert found.text == "Invalid modification of session subject via archive process."
    assert found.resolve[0] == f"watcher relabel {ID} --subject 'It'\"'\"'s'"
    assert verdict(findings) == "fail"
    assert codes(run(archived=archive(subject=""))) == ["session-exists"]


def test_a_study_archived_under_another_label_conflicts():
    """Same project: CONFLICT; other project: WARN; the session's own place is no elsewhere."""
    places = [
        Elsewhere("P", "L2", "S1"),
        Elsewhere("Q", "L", "S1", archive(project="Q")),
        Elsewhere("P", "L", "S1"),
    ]
    near, far = run(elsewhere=places)
    assert (near.severity, far.severity) == (Severity.CONFLICT, Severity.WARN)
    assert (near.xnat, near.text) == ((2, 3), "This study is archived already as P/L2")
    assert near.resolve[0] == f"watcher relabel {ID} --session L2"
    assert (near.evidence["PatientID"], near.evidence["shared_series"]) == ("missing", None)
    assert far.archived["PatientName"] == "DOE^JANE"
    guess = "same person and study, no common series: the rest of one examination?"
    assert far.evidence["looks_like"] == guess


def test_an_unassigned_session_fails():
    """XNAT 6: a person says where it goes."""
    found = only("no-project", run(replace(SESSION, project=None), project=None))
    assert (found.severity, found.xnat) == (Severity.FAIL, (6,))
    assert found.resolve == (f"watcher move {ID} --project P",)


def test_a_faulty_document_fails_with_its_fault():
    """XNAT 13."""
    found = only("schema-invalid", run(document_fault="line 3: no such element"))
    assert (found.severity, found.xnat) == (Severity.FAIL, (13,))
    assert found.text.endswith("line 3: no such element")
    assert found.resolve == (f"watcher rebuild {ID}",)


PET_SCAN = scan(instance(study="S2", SOPClassUID=PET), xsi_type="xnat:petScanData", modality="PT")
CT_SCAN = old_scan(uid="9.9", scan_id="9", xsi_type="xnat:ctScanData", modality="CT")


def test_another_modality_of_another_study_fails():
    """XNAT 19, and no force passes it."""
    session = decided("study-uid-mismatch", "modality-changed", studies=("S2",))
    findings = run(session, scans=(PET_SCAN,), archived=archive())
    found = only("modality-changed", findings)
    assert (found.severity, found.xnat) == (Severity.FAIL, (19,))
    assert found.text.startswith("Invalid modification of session modality via archive process.")
    assert (found.incoming["type"], found.archived["type"]) == ("PETSession", "MRSession")


def test_no_force_is_offered_beside_a_fail():
    """What force alone would pass offers it only where no FAIL holds the session all the same."""
    barred = run(scans=(PET_SCAN,), archived=archive())
    assert {"modality-changed", "study-uid-mismatch"} <= {each.code for each in barred}
    assert [] == [way for each in barred for way in each.resolve if "--force" in way]
    free = run(scans=(scan(instance(study="S2")),), archived=archive())
    assert any("--force" in way for way in only("study-uid-mismatch", free).resolve)


def test_another_modality_of_the_same_study_changes_the_type():
    """CT becomes PET: the type is worked out over all scans, and said."""
    old = archive(CT_SCAN, study="S2", type="CTSession")
    found = only("modality-changed", run(scans=(PET_SCAN,), archived=old))
    assert (found.severity, found.archived["type"]) == (Severity.INFO, "CTSession")
    assert merged_type((PET_SCAN,), old) == "PETSession"
    allowing = run(scans=(PET_SCAN,), archived=old, project=policy.Project("P", allow=ALLOWABLE))
    assert only("modality-changed", allowing).severity is Severity.INFO


@pytest.mark.parametrize("kind", ["", "XASession"])
def test_a_type_the_scans_do_not_account_for_stays(kind):
    """What a person wrote into the archived XML is not corrected."""
    old = archive(old_scan(), type=kind)
    assert merged_type(ONE, old) == kind
    assert codes(run(archived=old)) == ["session-exists"]
    assert "modality-changed" not in codes(run(scans=(), archived=old))


def test_same_instances_make_one_finding():
    """XNAT 14 and 16: counted, the first few named."""
    files = [instance(f"1.{n}") for n in range(7)]
    old = archive(old_scan(*(Entry(f"{n}.dcm", f"1.{n}", "a" * 32, 1, MR) for n in range(7))))
    found = only("same-instance", run(scans=(scan(*files),), archived=old))
    assert (found.severity, found.xnat, found.evidence) == (Severity.INFO, (14, 16), {"count": 7})
    assert found.text.startswith("7 files held already")
    assert found.incoming["files"] == [f"SCANS/7/DICOM/1.{n}.dcm" for n in range(5)]


def entry(sop="1.1", digest="b" * 32):
    return Entry(f"{sop}.dcm", sop, digest, 1, MR)


PATH = "SCANS/7/DICOM/1.1.dcm"
EIGHT = scan(instance("2.1", series="2.8", scan="8"), scan_id="8", uid="2.8")
BOTH_HELD = archive(old_scan(entry()), old_scan(entry("2.1"), scan_id="8", uid="2.8"))


def ways_out(which=""):
    return (
        f'watcher archive {ID} --overwrite --reason "..."',
        f'watcher archive {ID} --keep --reason "..."',
        f'watcher delete {ID}{which} --reason "..."',
    )


def test_differing_instances_hold_their_scan():
    """XNAT 14 and 22: one finding for each scan, which no force passes; a policy settles it."""
    findings = run(decided(*CODES), scans=(*ONE, EIGHT), archived=BOTH_HELD)
    found = [f for f in findings if f.code == "instance-differs"]
    assert [f.scope for f in found] == ["scan 7", "scan 8"]
    assert {(f.severity, f.xnat) for f in found} == {(Severity.CONFLICT, (14, 22))}
    assert {f.text for f in found} == {"UID conflict detected during archiving"}
    assert [ways_out(" --scan 7"), ways_out(" --scan 8")] == [f.resolve for f in found]
    assert (found[0].incoming, found[0].archived) == ({"files": [PATH]}, {"files": [PATH]})
    assert found[0].evidence == {"count": 1, "pixels": "unknown", "differing_tags": []}
    assert (verdict(findings), held(findings)) == ("conflict", {"7", "8"})


def test_the_only_scan_is_deleted_with_its_session():
    """Without another scan there is none to name."""
    assert only("instance-differs", run(archived=BOTH_HELD)).resolve == ways_out()


def test_a_scan_id_is_quoted_as_the_shell_wants_it():
    """A command may be typed as it stands."""
    odd = scan(instance(), scan_id="7 or 8")
    old = archive(old_scan(entry(), scan_id="7 or 8"))
    found = only("instance-differs", run(scans=(odd, EIGHT), archived=old))
    assert found.resolve[2] == f"watcher delete {ID} --scan '7 or 8' --reason \"...\""


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        ([True, True], "same"),
        ([False, False], "differs"),
        ([None, None], "unknown"),
        ([True, False], "same in some"),
        ([True, None], "same in some"),
        ([False, None], "differs in some"),
    ],
)
def test_how_files_differ_is_said_over_all_of_a_scan(pixels, said):
    """Whether pixels are the same, and the attributes that differ: each once, twenty at most."""
    files = [instance("1.1"), instance("1.2")]
    tags = [tuple(f"Tag{n:02}" for n in range(start, start + 15)) for start in (0, 10)]
    answers = {
        each.place.path: Comparison(same=False, same_pixels=same, tags=names)
        for each, same, names in zip(files, pixels, tags, strict=True)
    }
    old = archive(old_scan(entry("1.1"), entry("1.2")))
    found = only("instance-differs", run(scans=(scan(*files),), archived=old, answers=answers))
    assert said == found.evidence["pixels"]
    assert [f"Tag{n:02}" for n in range(20)] == found.evidence["differing_tags"]


@pytest.mark.parametrize(
    ("settled", "told"),
    [
        ("overwrite", "the newcomers replace them, which go to the history"),
        ("keep", "the archived ones stay, the newcomers go to the history"),
    ],
)
def test_a_policy_settles_what_differs(settled, told):
    """It is said which stays; nothing is held."""
    findings = run(decided(settled=settled), archived=BOTH_HELD)
    found = only("instance-differs", findings)
    assert (found.severity, found.scope, found.resolve) == (Severity.WARN, "scan 7", ())
    assert found.text == f"UID conflict detected during archiving: {told}"
    assert (verdict(findings), held(findings)) == ("ok", frozenset())


def test_what_came_after_a_decision_is_asked_about_again():
    """One finding for what is settled and one for what is not; the scan is held."""
    late = replace(instance("1.2"), arrived=10.0)
    old = archive(old_scan(entry("1.1"), entry("1.2")))
    findings = run(decided(settled="keep"), scans=(scan(instance(), late),), archived=old)
    found = [f for f in findings if f.code == "instance-differs"]
    assert [Severity.CONFLICT, Severity.WARN] == [f.severity for f in found]
    assert [[late.place.path], [PATH]] == [f.incoming["files"] for f in found]
    assert held(findings) == {"7"}


def test_a_project_may_overwrite_by_itself():
    """XNAT code 5: differing files replace the archived ones without anybody asked."""
    project = policy.Project("P", overwrite=True)
    findings = run(project=project, archived=BOTH_HELD)
    assert only("instance-differs", findings).severity is Severity.WARN
    assert verdict(findings) == "ok"


def test_another_class_only_warns():
    """The newcomer is ignored, as XNAT's merging guide promises."""
    old = archive(old_scan(Entry("1.1.dcm", "1.1", "b" * 32, 1, PET)))
    found = only("instance-other-class", run(archived=old))
    assert (found.severity, found.text) == (
        Severity.WARN,
        "Ignored: 1 file with the SOP UID of another class",
    )


TWICE = (scan(instance(), replace(instance("1.1", "b" * 32, name="2.dcm"), arrived=1.0)),)


def test_a_duplicate_in_the_session_holds_its_scan_unless_it_is_the_same_data():
    """XNAT 22: the same UIDs twice; a data set found equal is none."""
    found = only("duplicate-in-session", run(scans=TWICE))
    assert (found.severity, found.scope, found.xnat) == (Severity.CONFLICT, "scan 7", (22,))
    assert found.text == "1 file with the UIDs of another in this session"
    assert found.incoming == {"files": ["SCANS/7/DICOM/2.dcm"]}
    assert found.archived == {"files": [PATH]}
    assert found.resolve == ways_out()
    told = run(scans=TWICE, answers={"SCANS/7/DICOM/2.dcm": Comparison(same=True)})
    assert codes(told) == ["same-instance"]


@pytest.mark.parametrize(
    ("settled", "told"),
    [
        ("overwrite", "the latest stay, the others go to the history"),
        ("keep", "the first stay, the others go to the history"),
    ],
)
def test_a_policy_settles_duplicates(settled, told):
    """It is said which of them stays; nothing is held."""
    findings = run(decided(settled=settled), scans=TWICE)
    found = only("duplicate-in-session", findings)
    assert (found.severity, found.resolve, held(findings)) == (Severity.WARN, (), frozenset())
    assert found.text == f"1 file with the UIDs of another in this session: {told}"


def test_duplicates_in_two_scans_hold_both():
    """Neither goes in before the other; once settled, it is said of the later one's scan."""
    far = scan(instance("1.1", "b" * 32, series="2.8", scan="8"), scan_id="8", uid="2.8")
    findings = run(scans=(*ONE, far))
    assert held(findings) == {"7", "8"}
    assert {f.scope: f.incoming for f in findings} == {
        "scan 8": {"files": ["SCANS/8/DICOM/1.1.dcm"]},
        "scan 7": {"files": ["SCANS/8/DICOM/1.1.dcm"]},
    }
    settled = run(decided(settled="keep"), scans=(*ONE, far))
    assert ["scan 8"] == [f.scope for f in settled]


def test_renamed_and_joined_scans_are_told():
    """XNAT 17 and 18, as information."""
    other = scan(instance("2.1", series="2.8", scan="8"), scan_id="8", uid="2.8")
    old = archive(old_scan(uid="9.9"), old_scan(uid="2.8", scan_id="5"))
    findings = run(scans=(*ONE, other), archived=old)
    taken, elsewhere = only("scan-number-taken", findings), only("scan-uid-elsewhere", findings)
    assert (taken.xnat, taken.severity, taken.scope) == ((17,), Severity.INFO, "scan 7")
    assert (taken.incoming, taken.archived) == ({"scan": "7", "series": "1.7"}, {"scan": "7-MR1"})
    assert (elsewhere.xnat, elsewhere.severity, elsewhere.scope) == ((18,), Severity.INFO, "scan 8")
    assert elsewhere.archived == {"scan": "5"}


def test_a_shared_label_warns_or_holds():
    """A project may hold what need not be; a person may pass it."""
    shared = ["20260619_100000000"]
    found = only("label-shared", run(label_shared=shared))
    assert (found.severity, found.evidence) == (Severity.WARN, {"sessions": shared})
    holding = policy.Project("P", hold=frozenset({"label-shared"}))
    held = only("label-shared", run(label_shared=shared, project=holding))
    assert held.severity is Severity.CONFLICT
    assert held.resolve == (
        f'watcher archive {ID} --force --reason "..."',
        f"watcher relabel {ID} --session L",
    )
    passed = run(decided("label-shared"), label_shared=shared, project=holding)
    assert only("label-shared", passed).severity is Severity.WARN
    assert only("label-shared", passed).incoming == {"label": "L", "study": "S1"}


def test_a_project_may_allow():
    """XNAT's sessionmerging_uid_mod (19) and preventCrossModalityMerge=false: they only warn."""
    allowing = policy.Project("P", allow=ALLOWABLE)
    places = [Elsewhere("P", "L2", "S2")]
    findings = run(scans=(PET_SCAN,), archived=archive(), elsewhere=places, project=allowing)
    warned = {f.code: (f.severity, f.xnat, f.resolve) for f in findings if f.code in ALLOWABLE}
    assert warned == {
        "study-uid-mismatch": (Severity.WARN, (19,), ()),
        "modality-changed": (Severity.WARN, (19,), ()),
        "study-elsewhere": (Severity.WARN, (2, 3), ()),
    }
    assert verdict(findings) == "ok"


def test_force_passes_what_is_about_the_session():
    """A forced code warns, and says no command; the other conflicts stay."""
    scans = (scan(instance(), instance("1.2", study="S3")),)
    session = decided("study-uid-mismatch", studies=("S1", "S3"))
    findings = run(session, scans=scans, archived=archive(study="S2"))
    passed = only("study-uid-mismatch", findings)
    assert (passed.severity, passed.resolve) == (Severity.WARN, ())
    assert only("mixed-studies", findings).severity is Severity.CONFLICT


def test_a_study_that_came_after_a_forced_merge_is_asked_about():
    """A decision passes what was known when it was made."""
    session = decided("study-uid-mismatch", "mixed-studies", studies=("S1", "S3"))
    scans = (scan(instance(), instance("1.2", study="S3"), instance("1.3", study="S4")),)
    assert verdict(run(session, scans=scans[:1], archived=archive(study="S2"))) == "conflict"
    known = (scan(instance(), instance("1.2", study="S3")),)
    assert verdict(run(session, scans=known, archived=archive(study="S2"))) == "ok"


def test_a_study_that_was_let_in_is_elsewhere_no_more():
    """At home each study is the archived session's: that another has it too only warns."""
    places = [Elsewhere("P", "L2", "S1")]
    home = archive(study="S2", accepted=("S1",))
    found = only("study-elsewhere", run(archived=home, elsewhere=places))
    assert (found.severity, found.resolve) == (Severity.WARN, ())
    strange = run(archived=archive(study="S2"), elsewhere=places)
    assert only("study-elsewhere", strange).severity is Severity.CONFLICT


GAP = Gap("7", "1.7", ("InstanceNumber",), 1, 3, "InstanceNumber 2 (3 files expected)")


def test_what_seems_missing_is_told():
    """As information, with the list; a project may hold it, and a person let it pass."""
    found = only("maybe-incomplete", run(gaps=[GAP]))
    assert (found.severity, found.xnat, found.scope) == (Severity.INFO, (), "session")
    assert found.evidence == {"missing": {"7": GAP.text}}
    assert GAP.text in found.text
    holding = policy.Project("P", hold=frozenset({"maybe-incomplete"}))
    assert verdict(run(gaps=[GAP], project=holding)) == "conflict"
    assert verdict(run(decided("maybe-incomplete"), gaps=[GAP], project=holding)) == "ok"


def test_files_that_are_stuck_in_the_drop_are_told():
    """A warning with their number and the first few."""
    files = [f"a/{n}.dcm" for n in range(7)]
    found = only("incomplete", run(seen=Seen(stuck=files)))
    assert (found.severity, found.xnat) == (Severity.WARN, ())
    assert found.text == "7 files of its folders in the drop never became whole"
    assert (found.incoming, found.evidence) == ({"files": files[:5]}, {"count": 7})


def test_what_is_no_instance_is_told():
    """XNAT 20: it goes to quarantine and holds nothing."""
    findings = run(seen=Seen(strays=["SCANS/7/DICOM/notes.txt"]))
    found = only("stray-file", findings)
    assert (found.severity, found.xnat, held(findings)) == (Severity.WARN, (20,), frozenset())
    assert found.resolve == ("watcher quarantine list --code stray-file",)
    assert found.incoming == {"files": ["SCANS/7/DICOM/notes.txt"]}


def test_an_unreadable_file_holds_its_scan_only():
    """A FAIL no force and no policy passes; the scan may be given up."""
    session = decided(*CODES, settled="overwrite")
    findings = run(session, scans=(*ONE, EIGHT), seen=Seen(unreadable={"8": ["x", "y"]}))
    found = only("unreadable-file", findings)
    assert (found.severity, found.scope, found.xnat) == (Severity.FAIL, "scan 8", ())
    assert found.text == "2 filed files can't be read any more"
    assert found.resolve == (f'watcher delete {ID} --scan 8 --reason "..."',)
    assert (verdict(findings), held(findings)) == ("fail", {"8"})


def test_a_catalog_that_can_not_be_used_is_told():
    """XNAT 21: made again from the files first, of which it tells how many there are."""
    broken = ArchivedResource("DICOM", "SCANS/7/DICOM/c.xml", (entry("1.9"),), fault="is missing")
    sound = ArchivedResource("secondary", "SCANS/7/secondary/c.xml")
    old = archive(ArchivedScan("7", "1.7", "xnat:mrScanData", "MR", (broken, sound)))
    found = only("catalog-missing", run(archived=old))
    assert (found.severity, found.xnat, found.scope) == (Severity.WARN, (21,), "scan 7")
    assert found.text == (
        "The catalog of archived scan 7, DICOM, is missing: it is made again from 1 file first"
    )
    assert found.archived == {"scan": "7", "catalog": "SCANS/7/DICOM/c.xml"}


def test_blocking_findings_come_first_then_the_order_of_the_table():
    """Everything is collected; what holds nothing comes after what does."""
    holding = policy.Project("P", hold=frozenset({"maybe-incomplete"}))
    seen = Seen(strays=["x"], unreadable={"7": ["y"]})
    findings = run(archived=archive(study="S2"), project=holding, seen=seen, gaps=[GAP])
    assert codes(findings) == [
        "study-uid-mismatch",
        "unreadable-file",
        "maybe-incomplete",
        "session-exists",
        "stray-file",
    ]


def test_a_finding_about_the_session_holds_all_of_it():
    """One about a scan holds that; what only warns holds nothing."""
    scans, both = (*ONE, EIGHT), BOTH_HELD
    assert held(run(scans=scans, archived=replace(both, study="S2"))) is None
    assert held(run(scans=scans, archived=both)) == {"7", "8"}
    assert held(run(scans=scans, archived=archive())) == frozenset()


BROKEN = ArchivedResource(
    "DICOM",
    "SCANS/7/DICOM/c.xml",
    (entry("1.1"), entry("1.2"), entry("1.5")),
    fault="is missing",
)
# each code, provoked
EVERYTHING = {
    "scans": (
        scan(
            instance(),
            instance("1.2"),
            instance("1.3", study="S3"),
            instance("1.4"),
            instance("1.4", "b" * 32, name="again.dcm"),
            instance("1.5", SOPClassUID=PET),
            xsi_type="xnat:petScanData",
        ),
        EIGHT,
        scan(instance("3.1", series="3.9", scan="9"), scan_id="9", uid="3.9"),
    ),
    "archived": archive(
        ArchivedScan("7", "1.7", "xnat:mrScanData", "MR", (BROKEN,)),
        old_scan(scan_id="8", uid="2.9"),
        old_scan(scan_id="10", uid="3.9"),
        study="S2",
        subject="other",
    ),
    "elsewhere": [Elsewhere("P", "L2", "S1")],
    "label_shared": ["x"],
    "document_fault": "x",
    "seen": Seen(strays=["x"], unreadable={"9": ["x"]}, stuck=["x"]),
    "gaps": [GAP],
    "answers": {"SCANS/7/DICOM/1.2.dcm": Comparison(same=True)},
}
UNASSIGNED = replace(SESSION, project=None)


def test_every_code_of_the_contract_can_be_found():
    """One function collects them all at once, in every session that has all of it."""
    assert set(CODES) == set(codes(run(UNASSIGNED, **EVERYTHING)))


@given(st.sets(st.sampled_from(sorted(CODES))), st.sampled_from(["", "overwrite", "keep"]))
def test_no_person_passes_what_may_not_be(passed, settled):
    """Force weighs forceable conflicts about the session less, a policy those of files."""
    before = run(UNASSIGNED, **EVERYTHING)
    session = decided(*passed, studies=("S1", "S3"), settled=settled, session=UNASSIGNED)
    after = run(session, **EVERYTHING)
    settles = {"instance-differs", "duplicate-in-session"} if settled else set()
    softened = {f.code for f in before if f.severity is Severity.CONFLICT} & (
        settles | (passed & FORCEABLE)
    )
    expected = {f.code: Severity.WARN if f.code in softened else f.severity for f in before}
    assert expected == {f.code: f.severity for f in after}


@given(st.sets(st.sampled_from(sorted(CODES))), st.sets(st.sampled_from(sorted(CODES))))
def test_no_project_allows_or_holds_what_may_not_be(allow, hold):
    """Only what the contract names is weighed less or more, whatever a project asks for."""
    project = policy.Project("P", allow=frozenset(allow), hold=frozenset(hold))
    before, after = run(**EVERYTHING), run(**EVERYTHING, project=project)
    expected = {f.code: f.severity for f in before}
    blocking = {f.code for f in before if f.blocks}
    expected |= dict.fromkeys(hold & HOLDABLE, Severity.CONFLICT)
    expected |= dict.fromkeys(allow & ALLOWABLE & blocking, Severity.WARN)
    assert expected == {f.code: f.severity for f in after}


def test_numbers_of_things_are_said_as_people_do():
    """One file, two files, no files."""
    assert ["0 files", "1 file", "2 files"] == [counted([0] * n, "file") for n in range(3)]


def test_the_sets_of_codes_name_real_codes():
    """Every allowed, held or forced code is in the table."""
    assert set(CODES) >= ALLOWABLE | HOLDABLE | FORCEABLE


def guess(incoming, fields, **changes):
    old = archive(study="S2", **{"fields": {**FIELDS, **fields}, **changes})
    found = only("study-uid-mismatch", run(scans=(scan(*incoming),), archived=old))
    return found.evidence


@pytest.mark.parametrize(
    ("words", "fields", "expected"),
    [
        (
            {},
            {"StudyTime": "09:00:00"},
            "same person and scanner, 14 min apart, no common series: one examination cut in two?",
        ),
        (
            {"StationName": "CT1"},
            {"StudyTime": "0900", "StationName": "MR1,MR2"},
            (
                "same person, other scanner, 14 min apart, no common series:"
                " two examinations of one visit?"
            ),
        ),
        (
            {"StationName": ""},
            {"StudyDate": "20260519"},
            "same person, 31 days apart: another visit, wanting a label of its own?",
        ),
        (
            {},
            {"StudyTime": "150000", "StationName": "MR0,MR1"},
            "same person and scanner, 5 h apart: another visit, wanting a label of its own?",
        ),
        ({}, {"StudyTime": ""}, "same person and scanner, no common series, times unknown"),
        ({}, {"StudyDate": "20261399"}, "same person and scanner, no common series, times unknown"),
        (
            {"PatientName": "Doe^Jane^^", "StudyTime": "", "StationName": ""},
            {},
            "same person, no common series, times unknown",
        ),
        (
            {"PatientID": "X", "PatientName": "ROE", "PatientBirthDate": "20000101"},
            {},
            "other person: two people under one label?",
        ),
        (
            {"PatientID": "X"},
            {},
            (
                "PatientName and PatientBirthDate the same, PatientID not:"
                " one person entered in two ways?"
            ),
        ),
        (
            {"PatientID": "", "PatientName": "", "PatientBirthDate": ""},
            {},
            "too little in the headers to tell",
        ),
    ],
)
def test_the_evidence_says_what_it_looks_like(words, fields, expected):
    """One sentence for each way two studies come under one label."""
    assert guess([instance(**words)], fields)["looks_like"] == expected


def test_shared_series_and_images_are_counted():
    """Common images under another study speak of a copy, common series of a resend."""
    series_only = guess([instance()], {}, scans=(old_scan(),))
    assert (series_only["shared_series"], series_only["shared_instances"]) == (1, 0)
    assert series_only["looks_like"] == "same person, 1 common series: one study resent in part?"
    both = guess([instance()], {}, scans=(old_scan(Entry("x", "1.1", "a" * 32, 1, MR)),))
    assert both["shared_instances"] == 1
    assert both["looks_like"] == "same person, 1 common image: a copy given a new study UID?"
    assert both["minutes_apart"] == 0


def test_the_same_study_of_another_subject_is_a_correction_or_a_copy():
    """The same study under the label of another subject: what the headers say of the person."""
    words = {"PatientID": "X", "PatientName": "ROE", "PatientBirthDate": "20000101"}
    old = archive(old_scan(), subject="other")
    strange = only("subject-changed", run(scans=(scan(instance(**words)),), archived=old))
    expected = "same study, other person: corrected or pseudonymised, and sent again?"
    assert strange.evidence["looks_like"] == expected
    same = only("subject-changed", run(archived=old))
    expected = "same person and study, 1 common series: sent again or in parts?"
    assert same.evidence["looks_like"] == expected


@given(st.text(), st.text())
def test_hostile_dates_and_times_are_as_good_as_none(day, time):
    """Any text in StudyDate and StudyTime gives minutes or None, never an error."""
    side = evidence.of_instances([instance(StudyDate=day, StudyTime=time)])
    minutes = evidence.compare(side, side)["minutes_apart"]
    assert minutes in {0, None}
