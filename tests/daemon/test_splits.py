"""Any way to cut a study into drops, builds and archivings ends in the same archive (spec 11)."""

import itertools
import os
import re
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from lxml import etree
from makers import CT, MR, make_dicom
from quick import installation
from world import CAT, XNAT, md5

from watcher.core.life import Event
from watcher.core.session import Status
from watcher.dicom import catalog, document
from watcher.stages import decide
from watcher.stages.archive import archive
from watcher.stages.rebuild import build

STUDY = "1.2.3"
SR = "1.2.840.10008.5.1.4.1.1.88.22"
SC = "1.2.840.10008.5.1.4.1.1.7"
PLAIN = tuple((series, number, {}) for series in (1, 2, 3) for number in (1, 2, 3, 4))
MIXED = (
    # two series share the number 4; two of one number and other modalities; one of several kinds
    *((1, number, {"number": 4}) for number in (1, 2, 3)),
    *((2, number, {"number": 4}) for number in (1, 2, 3)),
    *((3, number, {"number": 4, "sop_class": MR, "modality": "MR"}) for number in (1, 2)),
    *((4, number, {"number": 7}) for number in (1, 2, 3)),
    (4, 4, {"number": 7, "sop_class": SC}),
)
BOUNDED = settings(max_examples=15, deadline=None, phases=[Phase.reuse, Phase.generate])
ACTS = st.sampled_from(["rest", "build", "rebuild", "archive"])


def contents(kind):
    """The bytes of every file of a set."""
    found = []
    with TemporaryDirectory() as folder:
        for series, number, values in kind:
            uid = f"{STUDY}.{series}"
            usual = {"number": series, "sop_class": CT, "SeriesDescription": f"series {series}"}
            path = make_dicom(
                os.path.join(folder, "one"),
                study=STUDY,
                series=uid,
                sop=f"{uid}.{number}",
                instance=number,
                **{**usual, **values},
            )
            found.append(Path(path).read_bytes())
    return found


@st.composite
def ways(draw):
    """The order of twelve files and of some that come again, and what is done after which."""
    order = draw(st.permutations(range(12)))
    for number in draw(st.lists(st.integers(0, 11), max_size=4)):
        order.insert(draw(st.integers(0, len(order))), number)
    cuts = sorted(draw(st.sets(st.integers(1, len(order) - 1), max_size=6)))
    edges = [0, *cuts, len(order)]
    drops = [order[one:other] for one, other in itertools.pairwise(edges)]
    return [(drop, draw(ACTS)) for drop in drops]


def carried(bench, data, steps):
    """The steps done one after the other, and all that waits archived at the end."""
    for turn, (numbers, act) in enumerate(steps):
        names = [f"{turn}-{place}" for place, _ in enumerate(numbers)]
        for name, number in zip(names, numbers, strict=True):
            Path(bench.path(name)).write_bytes(data[number])
        bench.file(*names)
        _act(bench.parts, act)
    _act(bench.parts, "archive")
    assert [] == bench.parts.ledger.sessions()


def _act(parts, act):
    for session in parts.ledger.sessions() if act != "rest" else ():
        if act == "rebuild":
            decide.rebuild(parts, session.id)
        elif session.status is Status.RECEIVING:
            build(parts, session.id, Event.IDLE)
        if act == "archive":
            assert Status.ARCHIVED is archive(parts, session.id).status


def shelf(bench):
    return Path(bench.shelf())


def held(bench):
    """What the catalogs list, by series and SOP UID: digest and class; each checked."""
    found = {}
    for scan in document.read(Path(f"{bench.shelf()}.xml").read_bytes()).scans:
        for resource in scan.resources:
            path = shelf(bench) / resource.catalog
            for entry in catalog.read(path.read_bytes())[1]:
                assert md5(path.parent / entry.uri) == entry.digest
                assert (scan.uid, entry.uid) not in found
                found[scan.uid, entry.uid] = entry.digest, entry.class_uid
    return found


def tree(bench):
    """Every file of the archived session but its own log; documents without times and order."""
    found = {}
    for path in (Path(f"{bench.shelf()}.xml"), *shelf(bench).rglob("*")):
        if path.is_file() and path.parent.name != "logs":
            found[path.name] = canonical(path) if path.suffix == ".xml" else path.read_bytes()
    return found


def canonical(path):
    """A document without `createdTime`, its entries or scans in the order of their text."""
    root = etree.fromstring(re.sub(rb' createdTime="[^"]*"', b"", path.read_bytes()))
    for parent in root.iter(f"{CAT}entries", f"{XNAT}scans"):
        parent[:] = sorted(parent, key=lambda each: " ".join(etree.tostring(each).decode().split()))
    return etree.canonicalize(root, strip_text=True)


class Outcomes:
    """What `look` sees of the archive that a set of files ends in."""

    def __init__(self, folder, kind, look):
        self._folder, self._look, self._data = folder, look, contents(kind)
        self.expected = self.of([(range(len(kind)), "rest")])

    def of(self, steps):
        with installation(self._folder) as bench:
            carried(bench, self._data, steps)
            assert [] == bench.tree("quarantine") == bench.tree("history")
            return self._look(bench)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    return Outcomes(tmp_path_factory.mktemp("mixed"), MIXED, held)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return Outcomes(tmp_path_factory.mktemp("plain"), PLAIN, tree)


@given(steps=ways())
@BOUNDED
def test_shared_numbers_and_mixed_kinds(mixed, steps):
    """However they came: the same instances, digests and series, each listed once."""
    assert mixed.expected == mixed.of(steps)


@given(steps=ways())
@BOUNDED
def test_plain_series(plain, steps):
    """Without clashes of numbers, kinds or contents: the same tree, the same documents."""
    assert plain.expected == plain.of(steps)
