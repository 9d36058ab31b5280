"""What others have named is coded wherever it stands: quoted, cut by blanks, in place of an id."""

import re

import pytest

from watcher.core.coding import Coder

CODER = Coder(b"k" * 32, {"P1", "mri"})
ID = "20260619_091425123"
QUOTED = "'/srv/O'\"'\"'Brien/x y'"


def code(text):
    return CODER.code(text)


def masked(value):
    return re.sub(r"~[0-9a-f]{8}", "~", str(value))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"watcher relabel {ID} --subject 'Erika Muster'", f"watcher relabel {ID} --subject ~"),
        (f"watcher explain {QUOTED}", "watcher explain '~'"),
        ("watcher explain '/a\nb `x` \"y\" Erika' now", "watcher explain '~' now"),
        ("it can't be 'just this', isn't it", None),
        ("'O'\"'\"'Brien' stays", None),
        (f"watcher delete {ID} --scan 7,8", None),
        (f"watcher delete {ID} --scan Erika", f"watcher delete {ID} --scan ~"),
        ("a scan (7) and scan 4-MR1, scan 1_2_3-abcdef, scan NA: so", None),
        ("a scan (Erika) and scan Muster: so", "a scan (~) and scan ~: so"),
        ("1 file in scan folders; `watcher verify PROJECT/LABEL`", None),
        (f"XQ/{ID} and XQ/{ID}/DOE", f"~/{ID} and ~/{ID}/~"),
        (f"show P1/{ID}/DOE, watcher verify P1/DOE", f"show P1/{ID}/~, watcher verify P1/~"),
        (f"{ID}/DOE and/or `watcher verify XQ/DOE`", f"{ID}/~ and/or `watcher verify ~/~`"),
    ],
)
def test_texts(text, expected):
    """Words in a shell's quotes, scans that are no numbers, projects that nobody configured."""
    assert (expected or text) == masked(CODER.line({"text": text})["text"])


def test_a_quoted_path_is_coded_as_what_it_stands_for():
    """So that `find` turns it back."""
    whole = code("/srv/O'Brien/x y")
    assert f"at '{whole}'" == CODER.line({"text": f"at {QUOTED}"})["text"]


@pytest.mark.parametrize(
    ("label", "text", "expected"),
    [
        ("Erika Muster", "watcher verify P1/Erika Muster", "watcher verify P1/{}"),
        ("Erika Muster", f"{ID}/Erika Muster is", f"{ID}/{{}} is"),
        ("Erika Muster.x y", "it is a/Erika Muster.x y.", "it is {0}."),
    ],
)
def test_a_value_with_blanks_is_coded_whole(label, text, expected):
    """Also where something that looks like a path or a label ends within it."""
    found = CODER.line({"label": label, "text": text})["text"]
    assert expected.format(code("a/" * ("a/" in text) + label)) == found


@pytest.mark.parametrize(
    "fields",
    [
        {"project": "XQ"},
        {"drop": "XQ"},
        {"entry": "XQ"},
        {"study": "XQ"},
        {"scope": "scan XQ"},
    ],
)
def test_a_name_in_place_of_ours(fields):
    """What stands where a configured name, an id or a UID should is coded, in all of the line."""
    line = CODER.line({**fields, "text": "of XQ", "findings": [{"text": "XQ"}]})
    assert "XQ" not in str(line)
    assert f"of {code('XQ')}" == line["text"]


@pytest.mark.parametrize(
    "fields",
    [
        {"project": "P1", "drop": "mri", "entry": "aside-0123456789ab", "study": "1.2, 3.4"},
        {"project": "Unassigned", "drop": "", "entry": "", "study": "", "scope": "scan 7"},
        {"entry": f"{ID}-other-class", "scope": "session", "layout": "{project}/*/{session}"},
    ],
)
def test_our_own_stay(fields):
    """Configured names, ids as we make them, UIDs."""
    assert fields == CODER.line(fields)


def test_the_key_of_an_archived_session():
    """Its project is coded where nobody configured it."""
    found = CODER.line({"key": "archive/XQ/DOE.xml"})["key"]
    assert f"archive/{code('XQ')}/{code('DOE')}.xml" == found
    assert f"archive/P1/{code('DOE')}" == CODER.line({"key": "archive/P1/DOE"})["key"]


def test_without_names_every_project_stays():
    """Whoever asks for a code only knows of none."""
    assert {"project": "XQ"} == Coder(b"k").line({"project": "XQ"})
