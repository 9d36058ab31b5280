"""From what was judged to the plan: what leaves, where it goes, and what stays."""

import os
from dataclasses import replace

import pytest

from watcher.core.errors import DocumentError
from watcher.core.names import next_timestamp
from watcher.core.policy import Project
from watcher.dicom import document
from watcher.io import files
from watcher.stages.planning import plan
from watcher.stages.validate import judge


def planned(bench, session):
    return plan(bench.parts, judge(bench.parts, session))


def stamps(promise):
    """The entries of the history that a plan makes."""
    kept = [each.target for each in promise.asides if each.store == "history"]
    return {path.split("/")[2] for path in (*kept, *(each.target for each in promise.retires))}


def everything_leaves(bench):
    """One newcomer replaces, one is kept out, and the catalog has lost its UIDs."""
    bench.parts.projects.known["P1"] = Project("P1", overwrite=True)
    bench.archived(1, 2)
    path = os.path.join(bench.shelf(), "SCANS/1/DICOM/scan_1_catalog.xml")
    files.swap(path, files.read(path).replace(b' UID="1.2.3.9.2"', b""))
    bench.filed(5)
    bench.again(1)
    bench.parts.clock.ahead += 1
    return bench.rebuilt(bench.again(5))


class TestHistory:
    """What leaves for the history."""

    def test_each_kind_has_an_entry_of_its_own(self, bench):
        """Replaced files, files kept out, catalogs: three stamps, none of them used before."""
        session = everything_leaves(bench)
        found = stamps(planned(bench, session))
        assert 3 == len(found)

    def test_no_entry_is_used_twice(self, bench):
        """A stamp that the history has is passed over, also by the second and third kind."""
        session = everything_leaves(bench)
        bench.parts.clock.stamp = lambda: "20260101_000000000"
        taken = next_timestamp("20260101_000000000")
        files.make_folder(bench.parts.storage.history("P1", "P1", taken))
        found = stamps(planned(bench, session))
        assert (3, False) == (len(found), taken in found)

    def test_nothing_leaves_nothing_is_made(self, bench):
        """A plain merge has no business in quarantine or history."""
        bench.archived(1)
        promise = planned(bench, bench.built(2))
        assert ((), ()) == (promise.asides, promise.retires)


class TestTotals:
    """What the archived session amounts to then."""

    @pytest.mark.parametrize("forgotten", [False, True])
    def test_they_are_those_of_the_xml(self, bench, forgotten):
        """Scans, files and bytes, also where the index of the archive does not know it."""
        bench.archived(1)
        if forgotten:
            bench.parts.registry.unshelve("P1", "P1")
        promise = planned(bench, bench.built(2, series="2", SeriesNumber=2))
        xml = promise.swaps[-1].data(None)
        assert (2, *document.totals(xml)) == promise.totals
        assert 2 == promise.totals[1]


class TestRemains:
    """What stays."""

    def test_only_what_is_about_it(self, bench):
        """Findings of the session and of its scans; the XML has no other scan."""
        session = bench.in_two_scans()
        remains = planned(bench, session).remains
        assert {"session", "scan 1"} == {each.scope for each in remains.findings}
        assert ["1"] == [scan.id for scan in document.read(remains.xml.encode()).scans]

    def test_nothing_stays_of_a_session_that_goes_whole(self, bench):
        """No remains, and its own catalogs are removed after it."""
        promise = planned(bench, bench.built(1))
        assert promise.remains is None
        assert ("SCANS/1/DICOM/scan_1_catalog.xml",) == promise.leftovers


def test_without_a_project_there_is_no_plan(bench):
    """A session that goes nowhere can't be planned for."""
    found = judge(bench.parts, bench.built(1, project=None))
    with pytest.raises(DocumentError, match="without a project"):
        plan(bench.parts, replace(found, documents=None))
