"""What an archive file may hold: its names, its kinds, its numbers (spec 7)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.core.members import (
    HARMLESS,
    REASONS,
    BrokenError,
    HostileError,
    Members,
    Sort,
    Why,
    fault_of,
    is_nested,
)
from watcher.core.policy import Limits

DICOM = bytes(128) + b"DICM"


def skips(parts, is_folder):
    return any(part.startswith(".") for part in parts)


def members(packed=1000, **limits):
    return Members(
        Limits(**{"entries": 1000, "bytes": 10 << 20, "ratio": 2} | limits), packed, skips
    )


def texts(found):
    return [why.text for why in found.reasons]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a.dcm", "a.dcm"),
        ("./a//b/./c.dcm", "a/b/c.dcm"),
        ("a b/\u00e4\udcff\n.dcm", "a b/\u00e4\udcff\n.dcm"),
        ("a../b..", "a../b.."),
        ("ab:c", "ab:c"),
        ("/".join("d" * 32) + "/a", "/".join("d" * 32) + "/a"),
        ("x" * 255, "x" * 255),
    ],
)
def test_a_sound_name_is_taken_as_it_is(name, path):
    """Odd characters, dots and depth are no fault; `.` and doubled slashes mean nothing."""
    found = members()
    assert path == found.admit(name, Sort.FILE)
    assert [] == texts(found)
    assert "" == fault_of(name)


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("/etc/passwd", "absolute"),
        ("../a", "out of its folder"),
        ("a/../../b", "out of its folder"),
        ("a/..", "out of its folder"),
        ("C:a", "drive letter"),
        ("c:/a", "drive letter"),
        ("a\\b", "backslash"),
        ("a\0b", "NUL"),
        ("x" * 256, "too long"),
        ("\u00e4" * 128, "too long"),
        ("/".join(["x" * 200] * 21), "too long"),
        ("/".join("d" * 33) + "/a", "deeper"),
        ("", "no name"),
        ("./.", "no name"),
    ],
)
def test_a_hostile_name_refuses_the_archive(name, word):
    """Whatever leads elsewhere, can't be a name, or hides depth: with the sentence that says so."""
    found = members()
    assert "" == found.admit(name, Sort.FILE)
    (why,) = found.reasons
    assert (name, True) == (why.member, word in why.text)


@pytest.mark.parametrize("sort", [s for s in Sort if s not in {Sort.FILE, Sort.FOLDER}])
def test_only_files_and_folders_are_let_in(sort):
    """A link, a device, a sparse, encrypted or unknown member refuses the archive."""
    found = members()
    assert "" == found.admit("a", sort)
    assert [True] == [text.startswith("It is") for text in texts(found)]


def test_a_folder_is_nothing_to_unpack():
    """Folders are let in, often, and also the one of everything; none is a path to unpack."""
    found = members()
    assert ["", "", "", ""] == [found.admit(n, Sort.FOLDER) for n in ("./", "a/", "a/", "a/b")]
    assert ("a/b/c", []) == (found.admit("a/b/c", Sort.FILE), texts(found))


@pytest.mark.parametrize(
    ("names", "word"),
    [
        (["a/b", "a/b"], "same name"),
        (["a/b", "./a//b"], "same name"),
        (["\u00e4", "a\u0308"], "same name"),
        (["a", "a/b"], "folder as well"),
        (["a/b/c", "a/b"], "folder as well"),
        (["a", "a/"], "folder as well"),
        (["a/", "a"], "folder as well"),
    ],
)
def test_two_members_of_one_name_refuse_the_archive(names, word):
    """Also where they only look alike, and where one is the folder of the other."""
    found = members()
    for name in names:
        found.admit(name, Sort.FOLDER if name.endswith("/") else Sort.FILE)
    assert [True] == [word in text for text in texts(found)]


@pytest.mark.parametrize("names", [["a", "A"], ["a/b", "a/c", "a/be"], ["x/a", "y/a"]])
def test_names_that_differ_are_no_clash(names):
    """Upper and lower case are two names, and so are the same ones in different folders."""
    found = members()
    assert names == [found.admit(name, Sort.FILE) for name in names]
    assert [] == texts(found)


def test_ignored_names_are_no_input():
    """They are counted and left out, whatever they are; hostile ones are hostile all the same."""
    found = members()
    for name, sort in [(".a", Sort.FILE), ("x/.b/c", Sort.LINK), (".d/", Sort.FOLDER)]:
        assert "" == found.admit(name, sort)
    assert ([], 2) == (texts(found), found.ignored)
    found.admit("../.e", Sort.FILE)
    assert 1 == len(found.reasons)


@pytest.mark.parametrize(
    ("name", "head", "nested"),
    [
        ("a.ZIP", b"", True),
        ("a.tar.gz", b"x", True),
        ("a.tgz", b"x", True),
        ("a.tar", b"x", True),
        ("a.zip", DICOM, False),
        ("notes.docx", b"PK\3\4rest", False),
        ("brain.nii.gz", b"\x1f\x8b\x08", False),
        ("a.gz", b"x", False),
        ("a", b"", False),
    ],
)
def test_an_archive_within(name, head, nested):
    """By its name; what else is zip or gzip inside is no archive of files, and DICOM is DICOM."""
    found = members()
    found.looked_at(name, head)
    assert (nested, nested) == (is_nested(name, head), bool(found.reasons))


def test_too_many_entries():
    """Folders and ignored names count as well: each costs something."""
    found = members(entries=3)
    for name in ("a/", ".b", "c"):
        found.admit(name, Sort.FILE)
    with pytest.raises(HostileError, match="more than 3 entries"):
        found.admit("d", Sort.FILE)


def test_too_many_bytes():
    """What really comes out counts, up to the limit itself."""
    found = members(packed=1 << 30, bytes=100)
    found.count(60)
    found.count(40)
    with pytest.raises(HostileError, match="more than 100 bytes"):
        found.count(1)
    assert 101 == found.bytes


def test_ratio():
    """A bomb is told by bytes that came out of those there are; a little one is none."""
    small, large = members(packed=1), members(packed=HARMLESS)
    small.count(HARMLESS)
    large.count(2 * HARMLESS)
    for found in (small, large):
        with pytest.raises(HostileError, match="2 times its own size"):
            found.count(1)


def test_reasons_are_bounded():
    """Of many, the first twenty are told."""
    found = members()
    for number in range(50):
        found.refuse(str(number), "why")
    assert (True, [Why(str(n), "why") for n in range(REASONS)]) == (found.full, found.reasons)


def test_errors_say_where():
    """The member, or the archive as a whole."""
    assert ("a", "", "") == (
        HostileError("t", "a").member,
        HostileError("t").member,
        BrokenError().member,
    )


@given(st.lists(st.text(st.sampled_from("ab./\\:\0C\u00e4\udc80"), max_size=12), max_size=12))
def test_what_is_admitted_stays_inside(names):
    """Whatever the names: a path let in has no part that leads elsewhere, and none comes twice."""
    found = members()
    paths = [path for name in names if (path := found.admit(name, Sort.FILE))]
    assert len(paths) == len(set(paths))
    for path in paths:
        assert not {"", ".", ".."} & set(path.split("/"))
        assert not {"\0", "\\"} & set(path)
