"""The catalogue of events and the code say the same.

That some test provokes each event is seen at the end of a run of the whole suite (conftest.py).
"""

import re
from collections import defaultdict

from emitting import sites, sites_in

from watcher.core.events import EVENTS
from watcher.core.fields import COMMON, LEFT

HEAD = {"level", "message"}  # what a caller may give of a line's head
ASIDE = {"drop", "path", "code", "text", "hint"}
# What syntax does not tell of the fields that are given, by the expression.
READ = {
    "self._left": set(LEFT),
    "told": {"error", "part", "trace"},  # of stages/faults.py
    "fields_of(aside)": {*ASIDE, "entry"},
    "{name: getattr(aside, name) for name in told}": ASIDE,
}
FAULT = re.compile(r"fault\(.*\)")
# Where a name that is no literal is said: of a crowd, of a sink, of what a store refused.
ELSEWHERE = {
    "log.degraded": {"sink", "lost", "error"},
    **{name: {"count"} for name in ("file.stuck", "file.quarantined", "drop.readonly")},
    **{name: {"count"} for name in ("file.released", "quarantine.settled", "drop.writable")},
    "storage.low": {"text"},
}


def fields_of(site):
    more = [{"error", "part", "trace"} if FAULT.match(each) else READ[each] for each in site.unread]
    return site.fields.union(*more)


def meant(event):
    """The events that a name may be, one put together from parts included."""
    if event.endswith("*"):
        return {name for name in EVENTS if name.startswith(event[:-1])}
    return {event}


def test_every_event_in_the_code_is_in_the_catalogue():
    """A name that is said and not in the catalogue would be an error when it is said."""
    said = {
        (site.where, name) for site in sites() for event in site.events for name in meant(event)
    }
    assert said
    assert set() == {(where, name) for where, name in said if name not in EVENTS}


def test_no_line_has_a_field_that_its_event_has_not():
    """Each call gives fields of the catalogue only."""
    more = {
        (site.where, event): extra
        for site in sites()
        for event in site.events & EVENTS.keys()
        if (extra := fields_of(site) - {*EVENTS[event].fields, *COMMON} - HEAD)
    }
    assert {} == more


def test_every_field_of_the_catalogue_is_given_somewhere():
    """A field that nobody gives any more is no part of the event."""
    given = defaultdict(set, {name: set(more) for name, more in ELSEWHERE.items()})
    for site in sites():
        for event in site.events:
            given[event] |= fields_of(site)
    missing = {name: set(one.fields) - given[name] for name, one in EVENTS.items()}
    assert {} == {name: some for name, some in missing.items() if some}


SOURCE = """
def tell(self, each, given):
    fields = {"path": 1, **{"code": 2}}
    if each:
        fields["by"] = 3
    key, where = "k", {"drop": 4}
    self.emit("a.b", **fields, text=5)
    raise_("c.d" if each else "e.f", key, **where, **parts.said(each, files=6), **inner(7))
    parts.conditions.end(f"storage.{each}", key, **({"x": 8} if each else {}))
    log("g.h", **given)
    other("i.j"); emit(name)

def inner(number):
    return {"seven": number}
"""


def test_the_reading_of_the_source_sees_names_and_fields():
    """The laws above are not green because it looks past calls, or past what is given."""
    first, second, third, fourth = sorted(
        sites_in(SOURCE), key=lambda site: site.where[6:].zfill(4)
    )
    assert ({"a.b"}, {"path", "code", "by", "text"}) == (first.events, first.fields)
    session = {"session", "project", "subject", "label", "study"}
    assert ({"c.d", "e.f"}, {"drop", "files", "seven", *session}) == (second.events, second.fields)
    assert ({"storage.*"}, {"x"}) == (third.events, third.fields)
    assert ({"g.h"}, set(), {"given"}) == (fourth.events, fourth.fields, fourth.unread)
