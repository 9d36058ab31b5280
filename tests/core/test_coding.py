"""Coded identifiers: what identifies never leaves, what must be read stays."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.core.coding import Coder, identifying

CODER = Coder(b"k" * 32)
CODED = re.compile(r"~[0-9a-f]{8}")
ID = "20260619_091425123"
NAMES = [
    *("label", "subject", "session_label", "patient_id", "PatientID", "patient_name", "name"),
    *("PatientName", "birth_date", "PatientBirthDate", "path", "file", "folder", "folders"),
    *("source", "target", "new_label"),
]


@given(st.text())
def test_a_code_is_short_stable_and_goes_back(text):
    """`~` and eight hex digits, the same each time, recognised from the value by its key only."""
    coded = CODER.code(text)
    assert CODED.fullmatch(coded)
    assert CODER.code(text) == coded
    assert CODER.matches(coded.upper(), text)
    assert not CODER.matches(coded, text + "x")
    assert not Coder(b"other").matches(coded, text)
    assert not CODER.matches(text, text)


@pytest.mark.parametrize("name", NAMES)
def test_a_field_that_identifies_is_coded_at_any_depth(name):
    """By its name, spelt either way, in lists and tables, keys of tables too."""
    value = "Zoe Planted"
    nested = {"findings": [{"incoming": {name: [value, {value: value}]}}], name: value}
    assert identifying(name)
    assert value not in json.dumps(CODER.line(nested))


def test_numbers_flags_and_comparisons():
    """A birth date is coded as a number too; counts, flags and `differs` tell nothing and stay."""
    fields = {"birth_date": 19700101, "folders": 3, "name": None, "label": "", "file": False}
    expected = fields | {"birth_date": CODER.code("19700101")}
    assert expected == CODER.line(fields)
    evidence = {"evidence": {"PatientID": "same", "PatientName": "differs", "minutes_apart": 14}}
    assert evidence == CODER.line(evidence)


@given(
    st.sampled_from(NAMES),
    st.text("abcXYZ019_-^ ./é", min_size=3, max_size=20).map(lambda text: f"Q{text}Q"),
    st.sampled_from(["{}", "no {} here", "({})", "a:{},b", "watcher show '{}'", "x={}"]),
)
def test_a_value_does_not_come_back_in_a_text(name, value, text):
    """What a field identifies is gone from every other text of the line, hints and tables too."""
    said = text.format(value)
    fields = {name: value, "text": said, "hint": said, "findings": [{"text": said, "k": {said: 1}}]}
    assert value not in json.dumps(CODER.line(fields), ensure_ascii=False)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"label": "DOE", "text": "DOE, DOE-1 and DOEX"}, "~, ~-1 and DOEX"),
        ({"label": "840", "text": "1.2.840.10008 and 840"}, "1.2.840.10008 and ~"),
        ({"label": "20260619", "text": f"{ID} on 20260619"}, f"{ID} on ~"),
        ({"path": "A B/c d.dcm", "text": "A B/c d.dcm, A B/IM1, c d"}, "~, ~, ~"),
        ({"subject": "DOE_JANE", "text": "Jane Doe moved"}, "~ ~ moved"),
        ({"label": "1.2.3", "text": "1.2.3 and 1.2.3.4"}, "~ and 1.2.3.4"),
        ({"label": "P1", "project": "P1", "text": "in P1"}, "in P1"),
        ({"label": "upload", "text": "Session upload failed"}, "Session upload failed"),
    ],
)
def test_values_are_found_as_whole_words(fields, expected):
    """Longest first, never inside a UID, a session id, another word or XNAT's wording."""
    assert expected == CODED.sub("~", str(CODER.line(fields)["text"]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("can't open /srv/drop/DOE/1.dcm: gone", "can't open ~: gone"),
        ("'/srv/Jane Doe/1.dcm' and \"a b/c d\"", "'~' and \"~\""),
        ("mri:DOE/IM1", "mri:~"),
        ("DOE^JANE came", "~ came"),
        ("saw DOE_JANE.dcm twice", "saw ~ twice"),
        (f"P/{ID}/DOE is", f"P/{ID}/~ is"),
        (f"watcher show P/{ID}/DOE", f"watcher show P/{ID}/~"),
        ("`watcher verify P/DOE`", "`watcher verify P/~`"),
        ("watcher refresh PROJECT/LABEL", "watcher refresh PROJECT/LABEL"),
        (f"watcher relabel {ID} --session DOE_2", f"watcher relabel {ID} --session ~"),
        (f'watcher relabel {ID} --subject "J D"', f"watcher relabel {ID} --subject ~"),
        (f"watcher relabel {ID} --session L", f"watcher relabel {ID} --session L"),
        (f"watcher archive {ID} --force --reason '...'", None),
        ("see https://www.xnat.org/a/b and/or 3/s, 12/40", None),
        ("W_E0123456789ab of 1.2.840.113619.2, ~1a2b3c4d", None),
        ("Invalid modification of session UID via archive process.", None),
        ('"just quoted" words', None),
    ],
)
def test_shapes_are_coded_without_being_told(text, expected):
    """Paths, names and labels in a text are hidden though no field has them; the rest stays."""
    assert (expected or text) == CODED.sub(
        lambda match: match[0] if match[0] in text else "~", str(CODER.line({"text": text})["text"])
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"session": ID}, ID),
        ({"session": f"P/{ID}"}, f"P/{ID}"),
        ({"session": "DOE_JANE"}, "~"),
        ({"scope": "file a b.dcm"}, "file ~"),
        ({"scope": "scan 7"}, "scan 7"),
        ({"drop": "DOE/mri"}, "DOE/mri"),
        ({"entry": f"{ID}-stray-file", "path": "stray.txt"}, f"{ID}-stray-file"),
        ({"key": f"session/{ID}", "label": "session"}, f"session/{ID}"),
        ({"key": f"quarantine/{ID}-stray-file", "file": "stray.x"}, f"quarantine/{ID}-stray-file"),
        ({"key": "quarantine/aside-0123456789ab"}, "quarantine/aside-0123456789ab"),
        ({"key": "watch/mri", "path": "watch"}, "watch/mri"),
        ({"key": "archive/P1/DOE"}, "archive/P1/~"),
        ({"key": "archive/P1/DOE.xml"}, "archive/P1/~.xml"),
        ({"key": "file/mri/0123456789abcdef"}, "file/mri/~"),
        ({"key": "session/DOE/JANE"}, "~"),
    ],
)
def test_fields_with_a_form_of_their_own(fields, expected):
    """A label in place of a session id, and the file of a scope, are hidden; drops are named."""
    shown = CODER.line(fields)[next(iter(fields))]
    assert expected == CODED.sub("~", str(shown))


OWN = [
    "1 file in scan folders that are no instances: to quarantine",
    "stray-file, session.conflict, CONFLICT",
    f"watcher quarantine show {ID}-stray-file",
    "watcher quarantine list --code stray-file",
    f"watcher archive {ID} --force --reason '...'",
]


@pytest.mark.parametrize("text", OWN)
@pytest.mark.parametrize(
    "value", ["scan", "stray", "session", "archive", "file", "CONFLICT", "stray-file", "quarantine"]
)
def test_our_own_words_stay(text, value):
    """A patient or a file called like a word of ours changes none of them; the value is coded."""
    line = CODER.line({"label": value, "path": f"{value}.txt", "text": text, "hint": text})
    assert (text, text) == (line["text"], line["hint"])
    assert CODER.code(value) == line["label"]
    assert CODER.code(f"{value}.txt") == line["path"]


@pytest.mark.parametrize(
    "text", ["DOE/stray-file", "stray-file/DOE", "stray-file.dcm", "stray-file^JANE"]
)
def test_a_value_that_begins_like_a_word_of_ours_is_coded_whole(text):
    """A path or a name with our words in it is still a path or a name."""
    assert CODER.code(text) == CODER.line({"text": text})["text"]


@given(st.text(max_size=200))
def test_any_text_is_coded_without_a_fault(text):
    """Nothing in a text makes coding fail; what was coded stays as it is."""
    once = CODER.line({"label": "DOE", "text": text})["text"]
    assert isinstance(once, str)


def test_a_path_is_coded_whole():
    """What follows a secret after a slash belongs to it: one code, which `find` can look up."""
    line = CODER.line({"folder": "A B", "text": "see A B/IM1"})
    assert line["text"] == f"see {CODER.code('A B/IM1')}"
