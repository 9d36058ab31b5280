"""A filed instance as one line of a catalog."""

from datetime import UTC, datetime
from functools import lru_cache

from watcher.core.archived import Entry
from watcher.core.scans import instance_number
from watcher.core.session import Instance


def entry_of(instance: Instance, uri: str) -> Entry:
    """The entry of a filed instance; `uri` is relative to the catalog's own folder.

    A missing InstanceNumber counts as 1, as in XNAT (xnat-facts 4.6). `created` is the arrival,
    in UTC to the second.
    """
    number = instance_number(instance)
    return Entry(
        uri=uri,
        uid=instance.header.sop_instance,
        digest=instance.digest.lower(),
        size=instance.size,
        class_uid=instance.header.sop_class,
        instance_number=1 if number is None else number,
        id=uri,
        created=_moment(round(instance.arrived, 6) // 1),
    )


@lru_cache(maxsize=64)
def _moment(second: float) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
