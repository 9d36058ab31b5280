"""A filed instance as one line of a catalog."""

from filed import made

from watcher.core.archived import Entry
from watcher.core.listing import entry_of


def test_entry_of():
    """An entry has the digest in lower case, the arrival in UTC, InstanceNumber 1 if missing."""
    instance = made("1.2.3.9", InstanceNumber="")
    expected = Entry(
        uri="x.dcm",
        uid="1.2.3.9",
        digest=instance.digest,
        size=1000,
        class_uid="1.2.840.10008.5.1.4.1.1.4",
        instance_number=1,
        id="x.dcm",
        created="2024-06-19T09:19:25Z",
    )
    assert expected == entry_of(instance, "x.dcm")
    assert entry_of(made(InstanceNumber="-3"), "x").instance_number == -3
    assert entry_of(made(InstanceNumber="0"), "x").instance_number == 0
