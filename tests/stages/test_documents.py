"""What archiving writes: catalogs and the session XML, valid and true."""

import os
from dataclasses import replace
from hashlib import sha256

import pytest

from watcher.core.errors import DocumentError
from watcher.core.policy import Project
from watcher.core.scans import arrange
from watcher.core.session import Decision
from watcher.dicom import catalog, document, schema
from watcher.io import files
from watcher.stages.documents import catalogs_of, experiment, waiting_xml
from watcher.stages.validate import judge

CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
NAME = "SCANS/1/DICOM/scan_1_catalog.xml"


def texts(bench, session):
    """The catalogs that a session's archiving writes."""
    found = judge(bench.parts, session)
    return catalogs_of(session, found.merge, found.shelf)


class TestCatalogs:
    """The next text of each."""

    def test_new_ones_are_valid_and_whole(self, bench):
        """One for each resource of a new scan, with dimensions where the files say them."""
        bench.filed(1, 2)
        session = bench.rebuilt(bench.filed(3, sop_class=CAPTURE))
        for path in bench.tree("prearchive"):
            if path.endswith("_catalog.xml"):
                files.remove(os.path.join(bench.parts.storage.path("prearchive"), path))
        found = texts(bench, session)
        assert {NAME, "SCANS/1/secondary/scan_1_secondary_catalog.xml"} == found.keys()
        assert {()} == {schema.catalog_faults(each.text) for each in found.values()}
        assert 2 == len(catalog.read(found[NAME].text)[1])
        assert b'<cat:dimensions x="16" y="16" z="2"/>' in found[NAME].text

    def test_one_that_the_build_made_is_taken(self, bench):
        """Its bytes are not held: the plan says where they lie, and what digest they have."""
        session = bench.built(1, 2)
        (found,) = texts(bench, session).values()
        own = files.read(os.path.join(bench.folder(session), NAME))
        assert (b"", NAME, sha256(own).hexdigest()) == (found.text, found.own, found.digest)

    def test_one_that_somebody_changed_is_not_taken(self, bench):
        """The plan has the whole text then."""
        session = bench.built(1)
        own = os.path.join(bench.folder(session), NAME)
        text = files.read(own)
        files.swap(own, text + b" ")
        assert [(text, "")] == [(each.text, each.own) for each in texts(bench, session).values()]

    def test_without_columns_and_rows_there_are_no_dimensions(self, bench):
        """Nothing is invented."""
        words = ("Rows", "Columns", "BitsAllocated", "SamplesPerPixel", "PixelData")
        none = dict.fromkeys((*words, "PhotometricInterpretation"))
        session = bench.built(1, **none)
        (found,) = texts(bench, session).values()
        assert b"dimensions" not in files.read(os.path.join(bench.folder(session), found.own))

    def test_an_untouched_one_is_not_written(self, bench):
        """Only the catalog that gains a file."""
        bench.archived(1)
        bench.archived(2, series="2", SeriesNumber=2)
        assert {NAME} == texts(bench, bench.built(3)).keys()

    def test_a_new_resource_of_an_old_scan(self, bench):
        """The old catalog of the scan is left alone."""
        bench.archived(1)
        bench.filed(1)
        found = texts(bench, bench.rebuilt(bench.filed(2, sop_class=CAPTURE)))
        assert {"SCANS/1/secondary/scan_1_secondary_catalog.xml"} == found.keys()

    def test_one_rebuilt_gains_and_loses_like_others(self, bench):
        """Rebuilt from its files: the replaced one is out, the newcomer is in."""
        bench.archived(1, 2)
        os.remove(os.path.join(bench.shelf(), NAME))
        bench.parts.projects.known["P1"] = Project("P1", overwrite=True)
        session = bench.again(1)
        (add,) = judge(bench.parts, session).merge.adds
        uris = {each.uri for each in catalog.read(texts(bench, session)[NAME].text)[1]}
        old = add.replaces.entry.uri
        assert (2, True, False) == (len(uris), add.entry.uri in uris, old in uris)

    def test_a_resource_that_the_archive_has_not(self, bench):
        """A merge that touches what is not archived is refused, not made up."""
        bench.archived(1)
        found = judge(bench.parts, bench.built(2))
        merge = replace(found.merge, touched=(("9", "DICOM"),))
        with pytest.raises(DocumentError, match="no such resource"):
            catalogs_of(found.session, merge, found.shelf)


class TestXml:
    """The session XML."""

    def test_a_resend_changes_nothing(self, bench):
        """Not one byte."""
        bench.archived(1)
        found = judge(bench.parts, bench.built(1))
        assert files.read(f"{bench.shelf()}.xml") == found.documents.xml

    def test_what_is_archived_keeps_its_study_and_id(self, bench):
        """Its own study stays first; what is not said is made from project and label."""
        bench.archived(1)
        found = judge(bench.parts, bench.built(2))
        assert ("1.2.3", ()) == (found.documents.own, found.documents.accepted)
        old, new = (document.read(each).id for each in (found.shelf.xml, found.documents.xml))
        assert (experiment(found.session), old) == (old, new)

    def test_the_counts_follow(self, bench):
        """Files and bytes of the touched resource, and the schema has nothing against it."""
        bench.archived(1)
        session = bench.built(2)
        found = judge(bench.parts, session)
        sizes = [each.size for each in bench.parts.ledger.instances(session.id)]
        old, new = (document.totals(each) for each in (found.shelf.xml, found.documents.xml))
        assert (old[0] + 1, old[1] + sum(sizes)) == new
        assert () == schema.session_faults(found.documents.xml)

    def test_a_waiting_session_says_what_was_accepted(self, bench):
        """Only where somebody has decided on it."""
        one, other = bench.filed(1, 2), bench.filed(3, study="1.2.4")
        ids = (one.id, other.id)
        both = arrange([i for each in ids for i in bench.parts.ledger.instances(each)], known={})
        decided = replace(one, decisions=(Decision(0.0, "anna", "archive", "so it is"),))
        found = [waiting_xml(bench.parts, each, both) for each in (one, decided)]
        assert [(), ("1.2.4",)] == [document.read(each).accepted for each in found]
        assert {()} == {schema.session_faults(each) for each in found}
