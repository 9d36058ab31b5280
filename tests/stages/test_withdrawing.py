"""A plan that does not fit the facts any more: taken back where it is not begun, else outlived."""

import os
import re
from dataclasses import replace

import pytest
from makers import MR

from watcher.core.life import Event
from watcher.core.policy import Project
from watcher.core.session import Status
from watcher.dicom import document
from watcher.io import files
from watcher.stages import carrying, decide, leaving, planning, withdrawing
from watcher.stages import promise as promises
from watcher.stages.archive import archive, fulfil
from watcher.stages.parts import Stopped
from watcher.stages.recover import carry_on
from watcher.stages.validate import judge


class AtStep:
    """Asked before every step whether to stop; does something before one of them."""

    def __init__(self, number, deed):
        self.number, self.deed = number, deed

    def is_set(self):
        self.number -= 1
        return self.number == 0 and bool(self.deed())


def stop():
    return True


def at_step(bench, number, deed):
    """The parts, with a deed before this step of a plan: links first, then swaps."""
    return replace(bench.parts, stopping=AtStep(number, deed))


def planned(bench, session):
    session = bench.parts.ledger.move(session.id, Event.ARCHIVE)
    bench.parts.publish(session.id)
    promise = planning.plan(bench.parts, judge(bench.parts, session))
    promises.write(bench.parts, promise)
    return promise


def cut_off(bench, session, step):
    """An archiving of one new file, stopped before this step."""
    promise = planned(bench, session)
    with pytest.raises(Stopped):
        fulfil(at_step(bench, step, stop), promise, 0.0)
    return promise


def edit(bench):
    """What a person changes in the session XML."""
    path = f"{bench.shelf()}.xml"
    files.swap(path, files.read(path).replace(b">usable<", b">unusable<"))


def now(bench, session):
    return bench.parts.ledger.session(session.id)


def kept(bench):
    return files.read(f"{bench.shelf()}.xml").count(b">unusable<")


class TestEdited:
    """Somebody edits the archived session while it is merged into."""

    @pytest.mark.parametrize("scan", ["1", "2"], ids=["archived scan", "new scan"])
    @pytest.mark.parametrize("step", [1, 2, 3], ids=["link", "catalog", "XML"])
    def test_what_a_person_wrote_stays(self, bench, scan, step):
        """Before a link, a catalog's swap or the XML's: the file goes in, the edit stays."""
        bench.archived(1)
        session = bench.built(2, series=scan, SeriesNumber=int(scan))
        done = archive(at_step(bench, step, lambda: edit(bench)), session.id)
        assert (Status.ARCHIVED, 1) == (done.status, kept(bench))
        assert (2, []) == (sum(path.endswith(".dcm") for path in bench.tree()), bench.untrue())

    @pytest.mark.parametrize("scan", ["1", "2"], ids=["archived scan", "new scan"])
    def test_a_start_carries_on_with_a_new_plan(self, bench, scan):
        """Cut off after the first swap, then edited: archived all the same, and nothing is left."""
        bench.archived(1)
        session = bench.built(2, series=scan, SeriesNumber=int(scan))
        cut_off(bench, session, 3)
        edit(bench)
        carry_on(bench.parts, session.id)
        assert (Status.ARCHIVED, 1) == (now(bench, session).status, kept(bench))
        assert ([], []) == (bench.untrue(), bench.tree("prearchive"))

    def test_what_was_replaced_leaves_all_the_same(self, bench):
        """Of a replacement whose catalog was swapped: the old file is in the history only."""
        bench.parts.projects.known["P1"] = Project("P1", overwrite=True)
        bench.archived(1)
        session = bench.rebuilt(bench.again(1))
        cut_off(bench, session, 4)  # two links
        edit(bench)
        carry_on(bench.parts, session.id)
        assert (Status.ARCHIVED, 1) == (now(bench, session).status, kept(bench))
        archived = [path for path in bench.tree() if path.endswith(".dcm")]
        assert (1, 1, []) == (len(archived), len(bench.kept_aside()), bench.untrue())

    def test_what_a_catalog_lists_is_never_taken_back(self, bench):
        """A swapped catalog that was edited since: its plan looks unbegun, its files stay."""
        bench.archived(1)
        promise = cut_off(bench, bench.built(2), 3)
        (told,) = promise.carries
        path = os.path.join(bench.shelf(), promise.swaps[0].path)
        files.swap(path, files.read(path).replace(b"<cat:entries>", b"<cat:entries >"))
        assert not carrying.is_begun(bench.parts, promise)
        withdrawing.take_back(bench.parts, promise)
        assert (True, []) == (
            os.path.exists(os.path.join(bench.shelf(), told.target)),
            [fault for fault in bench.untrue() if "is not there" in fault],
        )


class TestGivenUp:
    """A plan that nobody carries on."""

    def test_a_late_file_goes_in_with_the_rest(self, bench):
        """Begun, ended in ERROR: a late file reopens it, and all of it is archived."""
        bench.archived(1)
        session = bench.built(2, series="2", SeriesNumber=2)
        cut_off(bench, session, 3)
        edit(bench)
        bench.parts.ledger.move(session.id, Event.FAILED, error="whatever it was")
        late = bench.filed(3, series="2", SeriesNumber=2)
        done = decide.archive_now(bench.parts, bench.rebuilt(late).id)
        assert (session.id, Status.ARCHIVED, 1) == (done.id, done.status, kept(bench))
        assert ([], []) == (bench.untrue(), bench.tree("prearchive"))

    def test_a_catalog_nobody_names_goes_to_the_history(self, bench):
        """One in the place of a new scan's is no reason to fail, and is not lost."""
        bench.archived(1)
        path = f"{bench.shelf()}/SCANS/2/DICOM/scan_2_catalog.xml"
        os.makedirs(os.path.dirname(path))
        files.swap(path, b"<orphan/>")
        done = bench.archived(2, series="2", SeriesNumber=2)
        assert (Status.ARCHIVED, [b"<orphan/>"]) == (done.status, [*bench.kept_aside().values()])
        assert [] == bench.untrue()

    @pytest.mark.parametrize("cut", [False, True], ids=["done", "taken back"])
    def test_what_it_left_in_the_history_says_why(self, bench, cut):
        """A catalog that made room: its entry has a reason, also where the plan was taken back."""
        bench.archived(1)
        path = f"{bench.shelf()}/SCANS/2/DICOM/scan_2_catalog.xml"
        os.makedirs(os.path.dirname(path))
        files.swap(path, b"<orphan/>")
        session = bench.built(2, series="2", SeriesNumber=2)
        if cut:
            promise = cut_off(bench, session, 4)  # a link, what is retired, a catalog
            withdrawing.take_back(bench.parts, promise)
        else:
            archive(bench.parts, session.id)
        assert [b"<orphan/>"] == [*bench.kept_aside().values()]
        (told,) = bench.reasons()
        expected = ("catalog", "watcher", leaving.WITHOUT_DECISION["catalog"])
        assert expected == (told["kind"], told["who"], told["reason"])

    def test_an_xml_that_somebody_wrote_meanwhile(self, bench):
        """A new label, begun, then its XML was written: ERROR, that names the command."""
        session = bench.built(1)
        cut_off(bench, session, 3)
        files.swap(f"{bench.shelf()}.xml", b"<x/>")
        carry_on(bench.parts, session.id)
        done = now(bench, session)
        assert (Status.ERROR, True) == (done.status, "`watcher refresh P1/P1`" in done.error)
        assert b"<x/>" == files.read(f"{bench.shelf()}.xml")


class TestDone:
    """All is swapped and told, only clearing away was cut off."""

    @pytest.mark.parametrize("policy", ["keep", "other class"])
    def test_what_a_person_took_out_since_stops_nobody(self, bench, policy):
        """Purged or restored from quarantine or history after the crash: carried on, ARCHIVED."""
        bench.archived(1)
        if policy == "keep":
            session = bench.rebuilt(bench.again(1))
            choice = {"who": "anna", "reason": "first", "passed": ("instance-differs",)}
            decision = decide.decision_on(bench.parts, session, "archive", policy="keep", **choice)
            bench.parts.ledger.edit(session.id, decisions=(decision,))
            session = decide.rebuild(bench.parts, session.id)
        else:
            session = bench.built(1, sop_class=MR, modality="MR")
        with pytest.raises(KeyboardInterrupt):
            archive(replace(bench.parts, emit=_killed_at_the_end), session.id)
        for store in ("quarantine", "history"):
            for path in bench.kept_aside(store):
                os.remove(os.path.join(bench.parts.storage.path(store), path))
        edit(bench)
        carry_on(bench.parts, session.id)
        assert (Status.ARCHIVED, 1) == (now(bench, session).status, kept(bench))
        assert [] == bench.tree("prearchive")


def _killed_at_the_end(event, /, **_):
    if event == "session.merged":
        raise KeyboardInterrupt


class TestUnusable:
    """Documents that can't be written where the session XML has them."""

    @pytest.mark.parametrize("uri", [b"SCANS/1/DICOM", b"SCANS/1/DICOM/" + b"a" * 300])
    def test_a_catalog_that_can_be_no_file_is_an_error(self, bench, uri):
        """A folder, or a name too long: no retry helps, the build says so."""
        bench.archived(1)
        path = f"{bench.shelf()}.xml"
        files.swap(path, files.read(path).replace(b"SCANS/1/DICOM/scan_1_catalog.xml", uri))
        session = bench.built(2)
        assert (Status.ERROR, True) == (session.status, "catalog" in session.error)

    def test_an_archived_xml_that_is_a_folder_is_an_error(self, bench):
        """A folder has the XML's name: nothing is retried for ever."""
        os.makedirs(f"{bench.shelf()}.xml")
        assert Status.ERROR is bench.built(1).status

    def test_a_catalog_is_never_two_resources(self, bench):
        """Another's resource has its catalog where ours would go: held, nothing is overwritten."""
        bench.archived(1)
        path = f"{bench.shelf()}.xml"
        files.swap(path, files.read(path).replace(b'label="DICOM"', b'label="RAW"'))
        session = bench.built(2)
        assert ["schema-invalid"] == [each.code for each in session.findings if each.blocks]

    def test_a_resource_without_a_label_is_known_by_its_folder(self, bench):
        """XNAT names folders after labels: files of the same kind join it."""
        bench.archived(1)
        path = f"{bench.shelf()}.xml"
        files.swap(path, re.sub(rb' label="DICOM"', b"", files.read(path)))
        assert Status.ARCHIVED is bench.archived(2).status
        assert (2, []) == (document.totals(files.read(path))[0], bench.untrue())
