"""The status page."""

import base64
import hashlib
import itertools
import re
from datetime import UTC, timedelta, timezone
from importlib.resources import files

import pytest
from pages import CONFLICT, LOADING, Page, condition, drop, entry, hour, session, survey, troubled

from watcher.core.coding import Coder
from watcher.core.session import Status
from watcher.report.board import FEW
from watcher.report.coded import coded
from watcher.report.overview import MOST
from watcher.report.page import CARDS, LONG, html

HOSTILE = "\"><script>alert('x')</script>&amp;\x1b[2J\u202e\udce9"
SHOWN = "\"><script>alert('x')</script>&amp;\\x1b[2J\\u202e\\xe9"
MANY = session(7, "CONFLICT", findings=[{"code": "a", "severity": "FAIL", "text": "b"}] * 3)
STATES = {
    "nothing": survey(drops=[], stores=[], has_run=False),
    "well": survey(),
    "one conflict": survey(
        sessions={"CONFLICT": 1}, open_sessions=[session(1, "CONFLICT", findings=[CONFLICT])]
    ),
    "troubled": troubled(),
    "crowded": survey(open_sessions=[MANY] * 30, sessions={"CONFLICT": 300}, more_sessions=270),
}


def page(document, **options):
    return Page(html(document, **{"is_coded": False, "zone": UTC, **options}))


def style():
    return files("watcher.report").joinpath("templates/status.css").read_text()


# -- what kind of page it is -----------------------------------------------------------------------


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("stopped", [False, True])
def test_it_is_valid_html_in_every_state(state, stopped):
    """Elements nest as HTML 5 allows, ids are unique, what refers to an id finds it."""
    found = page(STATES[state] | {"running": not stopped})
    ids = [each["attrs"]["id"] for each in found.elements if "id" in each["attrs"]]
    named = {each["attrs"].get("aria-labelledby") for each in found.elements} - {None}
    assert len(set(ids)) == len(ids)
    assert set(ids) == named


@pytest.mark.parametrize("state", STATES)
def test_it_loads_nothing_and_runs_nothing(state):
    """No script, no handler, no style attribute, no address; the policy allows the style only."""
    found = page(STATES[state])
    assert not {"script", "iframe", "object", "img", "form"} & {
        each["tag"] for each in found.elements
    }
    names = {name for each in found.elements for name in each["attrs"]}
    assert not [name for name in names if name.startswith("on") or name == "style"]
    loaded = [
        each["attrs"][name] for each in found.elements for name in LOADING & set(each["attrs"])
    ]
    assert ["data:,"] == loaded
    assert not re.search(r"url\(|@import|https?:", style())
    digest = base64.b64encode(hashlib.sha256(found.one("style")["text"].encode()).digest())
    policy = next(
        each["attrs"]["content"]
        for each in found.all("meta")
        if each["attrs"].get("http-equiv") == "Content-Security-Policy"
    )
    assert (
        f"default-src 'none'; style-src 'sha256-{digest.decode()}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    ) == policy


@pytest.mark.parametrize("state", STATES)
def test_headings_tables_and_pictures_are_named_for_those_who_do_not_see_them(state):
    """A language, one h1, headings in order, captions, scopes; pictures told or hidden."""
    found = page(STATES[state])
    assert "en" == found.one("html")["attrs"]["lang"]
    levels = [int(each["tag"][1]) for each in found.elements if re.fullmatch("h[1-6]", each["tag"])]
    assert 1 == levels[0]
    assert 1 == levels.count(1)
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    for each in found.all("table"):
        assert "caption" == each["children"][0]["tag"]
        assert each["children"][0]["text"]
    assert {"col", "row"} >= {each["attrs"]["scope"] for each in found.all("th")}
    assert {"true"} == {each["attrs"].get("aria-hidden") for each in found.all("svg")}
    (drawn,) = [each for each in found.all("div") if each["attrs"].get("role") == "img"]
    assert found.one("figcaption")["text"] == drawn["attrs"]["aria-label"]


def luminance(colour):
    """Relative luminance of `#rrggbb` (WCAG 2.2)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    """How two colours differ, 1 to 21 (WCAG 2.2)."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_every_text_can_be_read_on_every_ground(scheme):
    """In both schemes text has a contrast of 4.5 to paper and card, bars one of 3 (WCAG 1.4)."""
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", style().split("@media")[scheme]))
    used = set(re.findall(r"(?<![-\w])(?:color|fill): var\(--(\w+)\)", style()))
    grounds = set(re.findall(r"background: var\(--(\w+)\)", style()))
    assert {"paper", "card"} == grounds
    assert {"ink", "soft", "bad", "warn", "good", "bar", "line"} == used
    for text, ground in itertools.product(sorted(used - {"line"}), sorted(grounds)):
        least = 3.0 if text == "bar" else 4.5
        assert contrast(colours[text], colours[ground]) >= least, (text, ground)


def test_colours_are_named_in_one_place():
    """No rule but the two lists of the schemes names a colour: what is checked is what is seen."""
    rules = style().split("* { box-sizing")[1]
    assert not re.findall(r"#[0-9a-fA-F]{3,8}\b|rgba?\(|hsla?\(", rules)


# -- what it says ----------------------------------------------------------------------------------


def test_the_title_says_the_state():
    """Title and heading begin with what waits for a person, the worst only; then the host."""
    said = {
        "1 session waits for a decision": survey(
            sessions={"CONFLICT": 1}, open_conditions={"file.quarantined": 1}
        ),
        "2 sessions wait for a decision, 1 session has failed": survey(
            sessions={"CONFLICT": 2, "ERROR": 1, "READY": 5}
        ),
        "1 fault": survey(conditions=[condition("storage.low", "low/archive")]),
        "1,200 warnings, 2 entries in quarantine": survey(
            open_conditions={"file.stuck": 1200, "file.quarantined": 2}
        ),
        "2 sessions wait to be archived": survey(
            open_sessions=[session(each, "READY", resolve=["watcher archive"]) for each in (1, 2)]
        ),
        "Nothing waits for a person": survey(sessions={"READY": 5}, quarantine=[entry(1)]),
    }
    for text, document in said.items():
        found = page(document)
        assert f"{text} \N{EN DASH} watcher on imaging3" == found.one("title")["text"]
        assert text == found.one("h1")["text"].strip()


def test_what_is_counted_elsewhere_is_no_fault():
    """Conditions of sessions and of entries in quarantine are counted as these, not twice."""
    conditions = [
        condition("session.conflict", "session/20261122_091425001"),
        condition("file.quarantined", "quarantine/000000000001"),
    ]
    found = page(survey(sessions={"CONFLICT": 1}, conditions=conditions))
    assert "1 session waits for a decision" == found.one("h1")["text"].strip()


def test_it_says_when_it_was_made_and_when_it_is_stale():
    """The time in the reader's zone, and how old it may be: three heartbeats.

    It does not load itself again: what somebody reads, or has unfolded, stays (WCAG 2.2, F41).
    """
    found = page(survey(every=20.0), zone=timezone(timedelta(hours=1)))
    assert "22 November 2026 at 10:33:02 (UTC+01:00)" in found.text
    assert "more than 1 min ago, load it again; if it stays, the watcher has stopped" in found.text
    assert "2026-11-22T09:33:02.123Z" == found.one("time")["attrs"]["datetime"]
    assert "refresh" not in {each["attrs"].get("http-equiv") for each in found.all("meta")}


def test_the_last_page_of_a_run_says_that_nothing_is_watched():
    """A page left by a daemon that was stopped says so, and is not called stale."""
    found = page(survey(sessions={"CONFLICT": 1}, running=False))
    assert "The watcher is stopped; 1 session waits for a decision" == (
        found.one("h1")["text"].strip()
    )
    assert "nothing has been watched since" in found.text
    assert "load it again" not in found.text
    well = page(survey(running=False)).one("h1")
    assert "The watcher is stopped; nothing waits for a person" == well["text"].strip()
    assert "warn" == well["children"][0]["attrs"]["class"]


def test_a_session_that_waits_is_shown_with_reason_and_command():
    """Who acts, what is wrong and what to type; what is only information is left out."""
    conflict, error = page(troubled()).all("article")
    assert "JANE_1 CONFLICT for somebody who knows the study" in conflict["text"]
    for text in ("20261122_091425001", "ROUTINE", "Doe_Jane", "412 files, 128 MiB"):
        assert text in conflict["text"]
    assert "Invalid modification study-uid-mismatch" in conflict["text"]
    assert "archived already" not in conflict["text"]
    assert "watcher show 1" in conflict["text"]
    assert "for an administrator" in error["text"]
    assert "read-only file system" in error["text"]


def test_a_conflict_shows_both_its_sides():
    """What differs as a table with both values, what is the same by name, what that looks like.

    The project and label are the same too; what two findings have in common is shown once.
    """
    both = [CONFLICT, {**CONFLICT, "code": "modality-changed"}]
    found = page(survey(open_sessions=[session(1, "CONFLICT", findings=both)]))
    assert [
        {"What": "study", "Incoming": "1.2.4", "Archived": "1.2.3"},
        {"What": "PatientName", "Incoming": "DOE^JANE", "Archived": "ROE^JANE"},
        {"What": "PatientBirthDate", "Incoming": "", "Archived": "1970-01-01"},
    ] == found.table("What differs")
    assert "The same: project, label, PatientID" in found.text
    assert "It looks like: two people under one label?" in found.text


def test_files_that_differ_are_named_on_both_sides():
    """Of a UID conflict: the files, how many, whether the pixels are the same, which attributes."""
    clash = {
        "code": "duplicate-in-session",
        "severity": "CONFLICT",
        "text": "UID conflict",
        "incoming": {"files": ["2.dcm"]},
        "archived": {"files": ["1.dcm"]},
        "evidence": {"count": 1, "pixels": "same", "differing_tags": ["(0020,4000)"]},
    }
    found = page(survey(open_sessions=[session(1, "CONFLICT", findings=[clash])]))
    (row,) = found.table("What differs")
    assert {"What": "files", "Newcomer": "2.dcm", "First": "1.dcm"} == row
    assert "Files: 1 Pixels: same Attributes that differ: (0020,4000)" in found.text


def test_a_session_without_a_command_is_shown_by_its_number():
    """Something can always be typed."""
    found = page(survey(open_sessions=[session(4, "ERROR")]))
    assert "watcher show 20261122_091425004" in found.one("article")["text"]


def test_a_finding_that_only_tells_is_shown_where_nothing_else_is():
    """No session waits without a reason that can be read."""
    told = {"code": "session-exists", "severity": "INFO", "text": "archived already"}
    found = page(survey(open_sessions=[session(4, "CONFLICT", findings=[told])]))
    assert "archived already" in found.one("article")["text"]


def test_conditions_are_shown_the_worst_first_and_once():
    """Errors before warnings; one of a session that has its card is not said again."""
    rows = page(troubled()).table("What else")
    assert [
        ("text of drop.unavailable (ct)", "error", "an administrator"),
        ("text of file.stuck (mri, a/1.dcm): cut off", "warning", "who sent the files"),
    ] == [(each["What"], each["Level"], each["Who"]) for each in rows]


def test_a_conflict_of_a_session_that_receives_again_is_still_said():
    """A late file that reopens a session does not clear its conflict (spec 12)."""
    again = session(5, "RECEIVING")
    raised = condition("session.conflict", f"session/{again['id']}")
    (row,) = page(survey(open_sessions=[again], conditions=[raised])).table("What else")
    assert f"text of session.conflict (session/{again['id']})" == row["What"]


def test_an_event_that_is_not_known_is_a_warning():
    """A ledger may hold conditions of a newer version: they are shown, and stop nothing."""
    (row,) = page(survey(conditions=[condition("disk.haunted", "disk/1")])).table("What else")
    assert ("warning", "") == (row["Level"], row["Who"])


def test_advice_and_commands_look_like_what_is_typed():
    """What stands between backticks, and a hint that is a command, is code."""
    hints = {"a": "run `watcher check`, then wait", "b": "watcher show 1"}
    conditions = [condition("storage.low", f"low/{key}", hint=hints[key]) for key in hints]
    found = page(survey(conditions=conditions))
    assert ["watcher check", "watcher show 1"] == [each["text"] for each in found.all("code")]
    assert "run watcher check, then wait" == found.table("What else")[0]["Do"]


def test_drops_are_shown_with_their_health():
    """Whether it is there, how it is watched, what waits and since when, what came of its files."""
    drops = [
        drop("mri", waiting=1200, oldest_pending=340.0, filed=12345, duplicates=3, quarantined=1),
        drop("ct", available=False, watch="poll", units=3, landing=True),
        drop("pet", watch=None, waiting=None, filed=None, duplicates=None, quarantined=None),
    ]
    rows = page(survey(drops=drops)).table("The folders")
    assert ["mri", "there", "by events", "gradual, to the prearchive", "1,200", "5 min"] == (
        list(rows[0].values())[:6]
    )
    assert ["12,345", "3", "1"] == list(rows[0].values())[6:]
    assert ("MISSING", "by polling", "0", "") == tuple(
        rows[1][name] for name in ("State", "Watched", "Waiting", "Oldest")
    )
    assert "gradual, to the prearchive; units: 2 waiting, 1 landing" == rows[1]["Takes"]
    assert ["", ""] == [rows[2]["Watched"], rows[2]["Filed"]]


def test_sessions_are_counted_by_status_and_the_others_listed():
    """Each status with its meaning and its oldest; sessions on their way with what comes next."""
    found = page(troubled() | {"more_sessions": 1234})
    statuses = found.table("How many")
    assert [("RECEIVING", "1", "1 h 30 min"), ("CONFLICT", "1", "1 h 30 min")] == [
        tuple(each.values())[:3] for each in statuses[:2]
    ]
    assert ["under a minute", ""] == [each["Oldest"] for each in statuses[2:]]
    (row,) = found.table("The other sessions")
    assert ("Unassigned / JANE_3", "RECEIVING", "22 Nov 09:38") == (
        row["Session"],
        row["Status"],
        row["To be built"],
    )
    assert "1,234 more: watcher sessions" in found.text


def test_a_session_that_waits_for_its_archiving_names_the_command():
    """READY without auto_archive: a person types it."""
    ready = session(6, "READY", resolve=["watcher archive 6"], files=1)
    found = page(survey(open_sessions=[ready]))
    (row,) = found.table("The other sessions")
    assert ("watcher archive 6", "1 file, 128 MiB") == (row["Command"], row["Size"])
    assert "READY below waits for its command" in found.text


def test_the_chart_is_a_table_too():
    """Each hour with files is a bar, and a row of a table for those who do not see bars."""
    found = page(survey(rates=[[hour(30), 7], [hour(0), 1200]]))
    assert [("Sat 21 Nov 03:00", "7"), ("Sun 22 Nov 09:00", "1,200")] == [
        tuple(each.values()) for each in found.table("Hours in which")
    ]
    bars = [each for each in found.all("rect") if "%" in each["attrs"].get("x", "")]
    assert 2 == len(bars)


def test_quarantine_is_shown_the_newest_first():
    """What, why, where from, and the command; in the survey's order."""
    rows = page(survey(quarantine=[entry(2), entry(1)])).table("Files that were refused")
    assert ["notes-2.pdf", "notes-1.pdf"] == [each["Entry"] for each in rows]
    assert ("mri", "not-dicom: no DICOM file", "3", "21 Nov 07:00") == (
        tuple(rows[1].values())[1:5]
    )
    assert "watcher quarantine show 000000000001" == rows[1]["Command"]


def test_disks_are_shown_with_their_room():
    """Free of all, the share that is used; nothing of a store that is not there."""
    rows = page(troubled()).table("Where the files lie")
    assert ["archive", "there", "31 GiB of 100 GiB", "69 %"] == list(rows[0].values())
    assert ["history", "MISSING", "", ""] == list(rows[1].values())


def test_a_moment_of_another_year_names_it():
    """`22 Nov 09:33` is of this year."""
    old = entry(1, set_aside="2025-12-31T23:59:00.000Z")
    (row,) = page(survey(quarantine=[old])).table("Files that were refused")
    assert "31 Dec 2025 23:59" == row["Since"]


# -- what must never happen ------------------------------------------------------------------------


def test_hostile_names_are_text():
    """Markup, control characters and bytes that are no text are shown, never obeyed (spec 13)."""
    numbers = itertools.count()

    def planted():
        return f"{HOSTILE}{next(numbers)}."

    found = page(
        survey(
            contact=planted(),
            host=planted(),
            drops=[drop(planted())],
            conditions=[
                condition("file.stuck", planted(), hint=planted(), fields={"text": planted()}),
                condition("storage.low", "low/a", hint=f"`{planted()}`"),
            ],
            quarantine=[entry(1, path=planted(), drop=planted(), text=planted())],
            open_sessions=[
                session(
                    *(1, "ERROR"),
                    label=planted(),
                    subject=planted(),
                    project=planted(),
                    error=planted(),
                    resolve=[planted()],
                    findings=[
                        {
                            "code": planted(),
                            "severity": "FAIL",
                            "text": planted(),
                            "incoming": {"PatientName": planted()},
                            "evidence": {"looks_like": planted()},
                        }
                    ],
                ),
                session(2, "READY", label=planted(), project=planted(), resolve=[planted()]),
            ],
        )
    )
    text = found.one("html")["text"]
    assert 22 == next(numbers)
    assert [] == [number for number in range(22) if f"{SHOWN}{number}." not in text]
    assert HOSTILE not in text


PLANTED = ("erika", "doe^jane", "roe^jane", "1970-01-01")


def test_it_is_coded_as_the_log_is():
    """Of a coded survey nothing planted is on the page; its numbers and codes are (spec 12)."""
    coder = Coder(bytes(32))
    wrong = {**CONFLICT, "text": "archived for Muster_Erika"}
    document = survey(
        open_sessions=[
            session(
                *(1, status),
                label="ERIKA_1",
                subject="Muster_Erika",
                findings=[wrong],
                resolve=["watcher relabel 20261122_091425001 --session ERIKA_1"],
            )
            for status in ("CONFLICT", "READY")
        ],
        quarantine=[entry(1, path="visit/Erika.dcm", text="Erika.dcm is cut off")],
        conditions=[condition("file.stuck", "file/mri/Erika", fields={"path": "a/Erika.dcm"})],
        stores=[{**survey()["stores"][0], "path": "/srv/erika"}],
        drops=[drop("mri", path="/srv/erika")],
    )
    plain, found = page(document).text, page(coded(document, coder), is_coded=True).text
    assert [] == [word for word in PLANTED if word not in plain.lower()]
    assert [] == [word for word in PLANTED if word in found.lower()]
    for text in (coder.code("ERIKA_1"), coder.code("visit/Erika.dcm"), "20261122_091425001", "mri"):
        assert text in found
    assert "watcher find" in found
    assert "watcher find" not in plain


def test_lines_the_log_lost_are_counted():
    """A log that is not complete is told of where somebody looks; one that is, is not."""
    assert "1 line of the log could not be written" in page(survey(lost=1)).text
    assert "1,200 lines of the log could not be written" in page(survey(lost=1200)).text
    assert "could not be written" not in page(survey(lost=None)).text


def test_its_length_is_bounded():
    """However much is open, so many rows are shown, and the rest is counted with its command."""
    document = survey(
        open_sessions=[MANY] * 60,
        quarantine=[entry(each) for each in range(100)],
        more_quarantine=1900,
        conditions=[condition("file.stuck", f"file/mri/{each}") for each in range(100)],
        open_conditions={"file.stuck": 3000, "file.quarantined": 2000, "session.conflict": 300},
    )
    found = page(document)
    assert f"{2000 - MOST:,} more: watcher quarantine list" in found.text
    assert f"{3000 - MOST:,} more: watcher status" in found.text
    assert f"{60 - CARDS} more" in found.text
    assert [MOST, MOST] == [
        len(found.table(caption)) for caption in ("Files that were refused", "What else")
    ]


def test_no_text_is_longer_than_a_person_reads():
    """What files bring may be as long as it likes: the page shows its beginning."""
    found = page(survey(quarantine=[entry(1, text="x" * 5000)]))
    assert "x" * (LONG - 100) in found.text
    assert "x" * LONG not in found.text


def test_a_session_is_shown_in_a_few_lines():
    """Of many findings and commands the first are shown, and where the rest is."""
    wrong = [{"code": f"x{each}", "severity": "FAIL", "text": "y"} for each in range(FEW + 2)]
    ways = [f"watcher delete 1 --scan {each}" for each in range(FEW + 1)]
    known = {"findings": wrong, "more_findings": 70, "resolve": ways}
    text = page(survey(open_sessions=[session(1, "CONFLICT", **known)])).text
    assert f"x{FEW - 1}" in text
    assert f"x{FEW}" not in text
    assert f"--scan {FEW - 1}" in text
    assert f"--scan {FEW}" not in text
    assert "73 more: watcher show 20261122_091425001" in text


def test_cards_beyond_the_first_are_folded():
    """Twenty reasons lie open; one more folds the rest, and only the rest."""
    for count in (CARDS, CARDS + 1):
        found = page(survey(open_sessions=[MANY] * count))
        folded = [e for e in found.all("article") if e["parent"] == "details"]
        assert count - CARDS == len(folded)


def test_no_status_is_told_by_colour_alone():
    """Every coloured mark carries its word, and its shape tells the tones apart."""
    statuses = dict.fromkeys(map(str, Status), 1)
    found = page(troubled() | {"sessions": statuses})
    marks = [e for e in found.all("span") if e["attrs"].get("class", "").startswith("mark")]
    assert set(statuses) <= {each["text"].strip() for each in marks}
    shapes = {each["attrs"]["class"]: str(each["children"][0]["children"]) for each in marks}
    assert {"mark bad", "mark warn", "mark good", "mark calm"} == set(shapes)
    assert 4 == len(set(shapes.values()))


def test_it_changes_only_with_what_it_shows():
    """Two surveys that differ in moments too small to show give the same page."""
    one, other = troubled(), troubled()
    other["drops"][0]["oldest_pending"] += 2.0
    other["oldest"] = {status: seconds + 0.5 for status, seconds in other["oldest"].items()}
    other["stores"][0]["free"] += 1000
    assert html(one, is_coded=False, zone=UTC) == html(other, is_coded=False, zone=UTC)
