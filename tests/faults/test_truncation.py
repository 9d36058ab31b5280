"""Whole files of every kind and encoding, cut at many offsets: no cut passes for whole, but ..."""

import os
import random
import shutil
import zlib
from bisect import bisect_left
from collections import defaultdict

import pytest
from faults.corpus import GEOMETRY, MADE, PIXELS, corpus
from world import World, md5

from watcher.core.file import RefusalCode
from watcher.dicom import essence
from watcher.io.reader import examine

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

EVERY = 4096  # bytes: a smaller file is cut at each of them
NO_LENGTH = "between any two elements"
BEFORE = "before its geometry, to a bare header"
AFTER = "after all that makes it one"
UNSEEN = {
    ("Raw Data Storage", NO_LENGTH),  # whatever is in it is its maker's
    ("image", BEFORE),  # studies of bare headers are shared, and dropped
    ("image", AFTER),  # padding, as after CT_small.dcm
    # what they lose is optional, or Type 1C, 2 and 3 attributes that stand last
    ("12-lead ECG Waveform Storage", AFTER),
    ("Basic Text SR Storage", AFTER),
    ("Encapsulated PDF Storage", AFTER),
    ("Grayscale Softcopy Presentation State Storage", AFTER),
    ("RT Beams Treatment Record Storage", AFTER),
    ("RT Plan Storage", AFTER),
    ("RT Structure Set Storage", AFTER),
}
"""Which kinds can be cut unseen, and where: always between two of their top-level elements."""
WAITS = {RefusalCode.TORN.value, RefusalCode.EMPTY.value}
NAMELESS = {RefusalCode.MISSING_UID.value, RefusalCode.NOT_DICOM.value}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return corpus(str(tmp_path_factory.mktemp("corpus")))


def cuts(whole, chance, most):
    """Sizes to cut it to: each of a small file; else round its elements and at random."""
    size = len(whole.data)
    near = {at + by for at, _ in whole.starts for by in (-1, 0, 1)} | {size - 1}
    near = {cut for cut in near if cut < size}
    every = range(size) if size <= EVERY else [chance.randrange(size) for _ in range(most)]
    others = sorted(set(every) - near)
    if most < len(near):
        near = set(chance.sample(sorted(near), most))
    return sorted(near | set(chance.sample(others, min(most, len(others)))))


def answers(whole, sizes, folder):
    """What a reader says of the file cut to each size: (size, refusal or "")."""
    path = folder / "cut"
    path.write_bytes(whole.data)
    request = {"root": str(folder), "path": "cut", "incoming": None, "lease": "skip"}
    for size in sorted(sizes, reverse=True):
        os.truncate(path, size)
        yield size, examine(request).get("refusal", "")


def where(whole, size):
    """Between which elements a cut lies; None inside one, or inside a deflated data set."""
    lost = bisect_left(whole.starts, (size, 0))
    if lost == len(whole.starts) or whole.starts[lost][0] != size:
        return None
    tags = {tag for _, tag in whole.starts[:lost]}
    if tags & (essence.ESSENTIAL if whole.kind != "image" else {PIXELS}):
        return AFTER
    return BEFORE if whole.kind == "image" and max(tags) < GEOMETRY else NO_LENGTH


def is_padding(whole, size):
    """Whether a cut lies after a deflated data set: what follows it says nothing (PS3.5 A.5)."""
    if whole.starts:
        return False
    length = 132 + 12 + int.from_bytes(whole.data[140:144], "little")  # of preamble and group 0002
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    inflater.decompress(whole.data[length:])
    return size >= len(whole.data) - len(inflater.unused_data)


def sweep(files, folder, most):
    """Cut them all: what passed as whole, what was set aside, and how many cuts there were."""
    chance, passed, aside, count = random.Random(4), set(), defaultdict(set), 0
    for whole in files:
        for size, refusal in answers(whole, cuts(whole, chance, most), folder):
            count += 1
            if not refusal and not is_padding(whole, size):
                passed.add((whole.kind, where(whole, size)))
            elif refusal and refusal not in WAITS:
                aside[refusal].add((whole.name, size))
    return passed, aside, count


def test_of_a_sample_of_cuts_none_passes_but_those_named(files, tmp_path):
    """A few cuts of each file: what passes for whole is of a kind that declares no length."""
    passed, aside, count = sweep(files, tmp_path, 16)
    assert set() == passed - UNSEEN
    assert set() == set(aside) - NAMELESS
    assert count > 1500


@pytest.mark.parametrize("most", [250, pytest.param(10**9, marks=pytest.mark.soak)])
@pytest.mark.campaign
def test_every_kind_cut_everywhere(files, tmp_path, row, most):
    """Of ten thousand cuts exactly the named ones pass; none but what has no UIDs is set aside."""
    case = row("files cut short", "at each byte of small ones, round each element of large ones")
    passed, aside, count = sweep(files, tmp_path, most)
    assert UNSEEN == passed
    assert set() == set(aside) - NAMELESS
    by_name = {whole.name: whole for whole in files}
    uids = [
        (name, size)
        for name, size in aside[RefusalCode.MISSING_UID.value]
        if where(by_name[name], size) is None
    ]
    assert [] == uids  # only at an element's end, where nothing tells it from a file without
    assert count > 10_000
    case.ran()
    case.runs += count - 1
    case.recovered += count - 1


@pytest.mark.campaign
def test_the_program_leaves_every_cut_where_it_lies(files, tmp_path, row):
    """Cuts of every file in a drop are left; given whole afterwards, each is archived once."""
    case = row("files cut short", "the program run on them; then the whole ones")
    world = World(tmp_path, settle="20ms")
    chance = random.Random(7)
    some = [whole for whole in files if whole.kind == "image" and whole.sop.startswith(MADE)]
    for number, whole in enumerate(some):
        first = {tag: at for at, tag in whole.starts}.get(PIXELS, 140)
        size = chance.randrange(first + 1, len(whole.data))
        (world.drop / f"{number}").write_bytes(whole.data[:size])
    cut_names = world.left()
    code, events = world.once()
    assert (3, [], cut_names) == (
        code,
        [each for each in events if each["event"] in {"file.filed", "file.quarantined"}],
        world.left(),
    )
    shutil.rmtree(world.drop)
    world.drop.mkdir()
    sent = []
    for number, whole in enumerate(some):
        path = world.drop / f"{number}"
        path.write_bytes(whole.data)
        sent.append(md5(path))
    world.once()
    case.judge(sent, world.root, [world.drop], md5)
