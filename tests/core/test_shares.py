"""What a share's mount lacks."""

import pytest

from watcher.core.shares import Wish, is_case_blind, wishes


@pytest.mark.parametrize(
    ("kind", "options", "drop", "store"),
    [
        ("ext4", "rw", [], []),
        ("nfs4", "rw,hard,vers=4.2", ["lookupcache=positive"], []),
        ("nfs", "rw,soft,lookupcache=pos", [], ["hard"]),
        ("nfs4", "rw,softreval,lookupcache=none", [], ["hard"]),
        ("cifs", "rw,serverino,nobrl", [], []),
        ("smb3", "rw,noserverino", ["serverino"], ["serverino", "nobrl"]),
    ],
)
def test_what_a_mount_lacks(kind, options, drop, store):
    """By type and options in force, for a drop and for a store; each with what happens without."""
    assert drop == [wish.option for wish in wishes(kind, options, is_store=False)]
    assert store == [wish.option for wish in wishes(kind, options, is_store=True)]


def test_each_says_why():
    """In words for an administrator."""
    (wish,) = wishes("nfs4", "rw", is_store=False)
    assert Wish("lookupcache=positive", "a name sent again is found 30 s or more later") == wish


@pytest.mark.parametrize(
    ("kind", "options", "blind"),
    [
        ("vfat", "rw", True),
        ("cifs", "rw,nocase", True),
        ("cifs", "rw,serverino", False),
        ("ext4", "rw", False),
    ],
)
def test_where_case_says_nothing(kind, options, blind):
    """By type; an SMB mount says so itself."""
    assert blind is is_case_blind(kind, options)
