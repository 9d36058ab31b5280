"""What suggests that images are missing, and what deliberately does not."""

from dataclasses import replace
from zlib import crc32

import pytest
from filed import CT, MR, PET, SC, SR, made
from hypothesis import given
from hypothesis import strategies as st

from watcher.core.archived import ArchivedResource, ArchivedScan, Entry
from watcher.core.lacking import weigh
from watcher.core.scans import arrange

ECG = "1.2.840.10008.5.1.4.1.1.9.1.1"
ENHANCED = "1.2.840.10008.5.1.4.1.1.4.1"
DX = "1.2.840.10008.5.1.4.1.1.1.1"


def scan(*images):
    (found,) = arrange(images, known={})
    return found


def image(number="", uid=None, **words):
    """One of a series; `number` is its InstanceNumber, other words as the headers have them."""
    told = {word: f"{value}" for word, value in words.items()} | {"InstanceNumber": f"{number}"}
    return made(uid or f"1.2.{crc32(repr(told).encode())}", **told)


def series(*numbers, **words):
    return [image(number, **words) for number in numbers]


def archived(*numbers, label="DICOM"):
    """The archived scan that is met: what its catalog tells."""
    entries = [Entry(f"a{n}.dcm", f"9.{i}", "d", 1, MR, n) for i, n in enumerate(numbers)]
    held = ArchivedResource(label, "SCANS/1/DICOM/c.xml", tuple(entries))
    return ArchivedScan("1", "1.2.3.4.1", "xnat:mrScanData", "MR", (held,))


def lacks(images, met=None):
    return dict(weigh(scan(*images), met).reasons)


class TestInstanceNumber:
    """Holes between the lowest and the highest."""

    @pytest.mark.parametrize("sop", [MR, CT, PET])
    def test_holes(self, sop):
        """Each hole is named, runs as ranges."""
        found = weigh(scan(*series(1, 2, 3, 5, 6, 10, sop=sop)), None)
        assert {"InstanceNumber": "4, 7-9"} == found.reasons
        assert (4, 10, True) == (found.missing, found.expected, found.says)

    @pytest.mark.parametrize(
        "numbers",
        [
            (1, 2, 3),
            (7,),
            (101, 102, 103),  # a series that starts anywhere
            (0, 1, 2),
            (-1, 0, 1),
            (1, 2, 9),  # more than half of the range
            (2, 4, 6, 8),  # numbered in steps
            (1, 2, "", 4),  # the one without a number may be the third
            (1, 2, "x", 4),
            (1, 1, 2, 4),  # repeated, and nothing tells the two apart
        ],
    )
    def test_no_holes(self, numbers):
        """What may be right is not said to be wrong."""
        images = [image(n, uid=f"1.{i}") for i, n in enumerate(numbers)]
        found = weigh(scan(*images), None)
        assert ({}, False, False) == (found.reasons, found.says, found.unsure)
        assert len(numbers) == found.expected

    @pytest.mark.parametrize(
        ("word", "label"),
        [
            ("AcquisitionNumber", " (AcquisitionNumber 2)"),
            ("EchoNumbers", " (EchoNumbers 2)"),
            ("TemporalPositionIdentifier", " (TemporalPositionIdentifier 2)"),
        ],
    )
    def test_repeated_numbers(self, word, label):
        """Numbers that repeat are looked at for each acquisition, echo or position alone."""
        whole = [*series(1, 2, 3, 4, **{word: 1}), *series(1, 2, 3, 4, **{word: 2})]
        assert {} == lacks(whole)
        without = [each for each in whole if each is not whole[6]]
        assert {"InstanceNumber": f"3{label}"} == lacks(without)

    def test_acquisition_and_echo_together(self):
        """Where neither alone tells them apart, both together may."""
        words = [{"AcquisitionNumber": a, "EchoNumbers": e} for a in (1, 2) for e in (1, 2)]
        whole = [one for each in words for one in series(1, 2, 3, **each)]
        assert {} == lacks(whole)
        told = "2 (AcquisitionNumber 1, EchoNumbers 1)"
        assert {"InstanceNumber": told} == lacks([whole[0], *whole[2:]])

    def test_two_planes_numbered_from_one(self):
        """Localizers in two planes share numbers; nothing is said of them."""
        planes = [[image(n, uid=f"1.{p}.{n}") for n in (1, 2, 4)] for p in (1, 2)]
        assert {} == lacks([*planes[0], *planes[1]])

    @pytest.mark.parametrize("sop", [SR, SC, ECG, DX, "1.2.840.10008.5.1.4.1.1.4.2", "1.9"])
    def test_other_objects(self, sop):
        """Reports, captures, signals and spectra lack nothing; single exposures no number."""
        assert {} == lacks(series(1, 2, 4, sop=sop))
        declared = {} if sop != DX else {"ImagesInAcquisition": "9, 2 there"}
        assert declared == lacks(series(1, 2, sop=sop, ImagesInAcquisition=9))

    def test_objects_beside_images(self):
        """A report's number fills no hole, and it counts as a file."""
        found = weigh(scan(*series(1, 2, 4), image(3, sop=SR)), None)
        assert ({"InstanceNumber": "3"}, 5) == (found.reasons, found.expected)

    def test_multi_frame(self):
        """Several frames in a file: files are numbered as the operator likes."""
        assert {} == lacks(series(1, 2, 4, sop=ENHANCED, NumberOfFrames=10))
        assert {"InstanceNumber": "3"} == lacks(series(1, 2, 4, NumberOfFrames=1))

    def test_the_list_is_bounded(self):
        """Twenty ranges at most."""
        numbers = [n for n in range(1, 92) if n % 3]
        expected = ", ".join([*(f"{n}" for n in range(3, 61, 3)), "…"])
        assert expected == lacks(series(*numbers))["InstanceNumber"]

    def test_one_file_twice(self):
        """Two copies of one instance are one image."""
        twice = [image(4, uid="1.44"), image(4, uid="1.44", EchoTime="9")]
        found = weigh(scan(*series(1, 2), *twice), None)
        assert ({"InstanceNumber": "3"}, 4) == (found.reasons, found.expected)


class TestArchived:
    """The archived files of the scan are counted in."""

    def test_archived_numbers_fill_holes(self):
        """What one drop left out, an earlier one brought."""
        assert {} == lacks(series(3), archived(1, 2, 4))
        assert {"InstanceNumber": "3"} == lacks(series(4), archived(1, 2))

    def test_the_same_file_counts_once(self):
        """By SOP UID; where the catalog has none, by its name."""
        images = [*series(1, 2), image(4, uid="9.0")]
        assert {"InstanceNumber": "3"} == lacks(images, archived(4))
        name = images[2].place.name
        nameless = ArchivedResource("DICOM", "c", (Entry(f"x/{name}", "", "", None),))
        met = ArchivedScan("1", "", "", "", (nameless,))
        assert {"InstanceNumber": "3"} == lacks(images, met)

    def test_other_resources_count_not(self):
        """What lies in another resource is none of the scan's images."""
        assert {"InstanceNumber": "3"} == lacks(series(1, 2, 4), archived(3, label="NIFTI"))

    def test_entries_that_are_not_at_hand(self):
        """A shelf has only entries that can match: all numbers come beside, else it is open."""
        (resource,) = archived(4).resources
        met = replace(archived(), resources=(replace(resource, files=3),))
        images = [*series(5), image(4, uid="9.0")]
        assert weigh(scan(*images), met).unsure
        found = weigh(scan(*images), met, {resource.catalog: [1, 2, 4]})
        assert ({"InstanceNumber": "3"}, 5) == (found.reasons, found.expected)

    def test_repeated_numbers(self):
        """All as often: nothing is missing. Else it can't be told."""
        even, uneven = archived(1, 2, 3, 1, 2), archived(1, 2, 3, 1)
        assert (False, True) == tuple(weigh(scan(image(3)), m).unsure for m in (even, uneven))
        assert weigh(scan(image(3)), archived(1, None)).unsure


class TestDeclared:
    """Counts the headers declare."""

    def test_images_in_acquisition(self):
        """Fewer than declared; the numbers from 1 to the count that are not there are named."""
        found = weigh(scan(*series(2, 3, 4, ImagesInAcquisition=6)), None)
        assert {"InstanceNumber": "1, 5-6", "ImagesInAcquisition": "6, 3 there"} == found.reasons
        assert (3, 6) == (found.missing, found.expected)

    def test_a_declared_count_that_is_reached(self):
        """As many as declared: holes in the numbers mean nothing."""
        found = weigh(scan(*series(1, 2, 4, ImagesInAcquisition=3)), None)
        assert ({}, 3, True) == (found.reasons, found.expected, found.says)

    def test_numbers_that_do_not_fit_the_count(self):
        """Numbers above the count start anywhere; what is missing before them is not named."""
        expected = {"ImagesInAcquisition": "5, 3 there"}
        assert expected == lacks(series(11, 12, 13, ImagesInAcquisition=5))

    @pytest.mark.parametrize(
        "words",
        [
            {"ImagesInAcquisition": 2},  # an acquisition with more than it declares
            {"ImagesInAcquisition": 0},
            {"ImagesInAcquisition": "many"},
            {"ImagesInAcquisition": 9, "ImageType": "DERIVED\\SECONDARY"},
            {"ImagesInAcquisition": 9, "NumberOfFrames": 4},
        ],
    )
    def test_counts_of_no_use(self, words):
        """Where the count can't mean these images, nothing is said."""
        found = weigh(scan(*series(1, 2, 3, **words)), None)
        assert ({}, False) == (found.reasons, found.says)

    def test_images_that_disagree(self):
        """Two counts for one acquisition say nothing."""
        images = [*series(1, 2, ImagesInAcquisition=5), *series(3, ImagesInAcquisition=6)]
        assert {} == lacks(images)

    def test_several_acquisitions(self):
        """Each has its own count."""
        one = series(1, 2, 3, AcquisitionNumber=1, ImagesInAcquisition=3)
        two = series(4, 5, AcquisitionNumber=2, ImagesInAcquisition=3)
        assert {"ImagesInAcquisition": "6, 5 there"} == lacks([*one, *two])

    def test_acquisitions_beside_archived_images(self):
        """Archived images may be of these acquisitions; more of them leave it open."""
        late = series(10, ImagesInAcquisition=10)
        assert {"ImagesInAcquisition": "10, 9 there"}.items() <= lacks(
            late, archived(*range(1, 9))
        ).items()
        assert {} == lacks(late, archived(*range(1, 10)))
        assert not weigh(scan(*late), archived(*range(1, 10))).unsure
        assert weigh(scan(*late), archived(*range(11, 26))).unsure
        assert not weigh(scan(*late), archived(*range(11, 30))).unsure

    def test_temporal_positions(self):
        """Each position has as many images as the fullest; absent and partial ones are named."""
        words = {"NumberOfTemporalPositions": 4}
        full = [image(n, TemporalPositionIdentifier=1, **words) for n in (1, 2, 3)]
        part = [image(n, TemporalPositionIdentifier=2, **words) for n in (4, 5)]
        found = weigh(scan(*full, *part), None)
        assert {"TemporalPositionIdentifier": "2-4"} == found.reasons
        assert (7, 12) == (found.missing, found.expected)
        rest = [
            image(6 + n, TemporalPositionIdentifier=2 + (n + 2) // 3, **words) for n in range(7)
        ]
        assert {} == lacks([*full, *part, *rest])

    @pytest.mark.parametrize(
        ("count", "place"), [(1, 1), ("", 1), (4, ""), (4, 5), (4, 0), ("x", 1)]
    )
    def test_positions_of_no_use(self, count, place):
        """No count, no position, or one beyond the count: nothing is said."""
        words = {"NumberOfTemporalPositions": count, "TemporalPositionIdentifier": place}
        assert {} == lacks(series(1, 2, **words))

    def test_positions_beside_archived_images(self):
        """All together must fill the positions evenly."""
        words = {"NumberOfTemporalPositions": 3, "TemporalPositionIdentifier": 3}
        told = {"TemporalPositionIdentifier": "1-3 with 2 each"}
        assert told == lacks(series(5, **words), archived(1, 2, 3, 4))
        assert {} == lacks(series(6, **words), archived(1, 2, 3, 4, 5))

    def test_a_concatenation(self):
        """Parts that are declared and not there; without a total, those below the highest."""
        words = {"sop": ENHANCED, "NumberOfFrames": 40, "ConcatenationUID": "1.5"}
        first = image(1, InConcatenationNumber=1, InConcatenationTotalNumber=4, **words)
        third = image(1, InConcatenationNumber=3, InConcatenationTotalNumber=4, **words)
        found = weigh(scan(first, third), None)
        assert {"InConcatenationNumber": "2, 4"} == found.reasons
        assert 4 == found.expected
        bare = image(1, InConcatenationNumber=3, **words)
        assert {"InConcatenationNumber": "1-2"} == lacks([bare])
        assert {} == lacks([image(1, **words)])

    def test_a_concatenation_beside_archived_parts(self):
        """An archived part may be any of them."""
        words = {"sop": ENHANCED, "NumberOfFrames": 40, "ConcatenationUID": "1.5"}
        late = [image(1, InConcatenationNumber=4, InConcatenationTotalNumber=4, **words)]
        assert {"InConcatenationNumber": "4, 3 there"} == lacks(late, archived(1, 1))
        assert {} == lacks(late, archived(1, 1, 1))

    def test_several_sizes_beside_archived_images(self):
        """Parts of several sizes and more archived images than they lack: it can't be told."""
        images = [
            *series(1, AcquisitionNumber=1, ImagesInAcquisition=2),
            *series(3, AcquisitionNumber=2, ImagesInAcquisition=3),
        ]
        assert weigh(scan(*images), archived(2, 4, 5, 6)).unsure

    def test_a_count_beyond_all_bounds(self):
        """A hostile count costs nothing."""
        words = {"NumberOfTemporalPositions": 999_999_999, "TemporalPositionIdentifier": 5}
        assert {"TemporalPositionIdentifier": "1-4, 6-999999999"} == lacks(series(1, **words))


COUNTS = st.sampled_from(["", "0", "1", "2", "3", "7", "x", "-1", "999999999999"])
WORDS = st.fixed_dictionaries(
    dict.fromkeys(
        (
            *("NumberOfTemporalPositions", "TemporalPositionIdentifier", "ImagesInAcquisition"),
            *("InConcatenationNumber", "InConcatenationTotalNumber", "ConcatenationUID"),
            *("AcquisitionNumber", "EchoNumbers", "InstanceNumber", "NumberOfFrames"),
        ),
        COUNTS,
    )
)


@given(st.lists(WORDS, min_size=1, max_size=8), st.lists(st.integers(-2, 9) | st.none()))
def test_nothing_in_a_header_can_break_it(headers, numbers):
    """Whatever the headers say: never fewer expected than there are, and a reason for each lack."""
    images = [made(f"1.{i}", **words) for i, words in enumerate(headers)]
    found = weigh(scan(*images), archived(*numbers))
    assert found.expected == len(images) + len(numbers) + found.missing
    assert (found.missing > 0) == bool(found.reasons)
    assert all(found.reasons.values())


@given(st.permutations(range(1, 9)), st.sets(st.integers(2, 7), max_size=3))
def test_the_order_of_arrival_means_nothing(order, lost):
    """Any order of the files gives the same answer."""
    there = [n for n in order if n not in lost]
    expected = weigh(scan(*series(*sorted(there))), None)
    assert expected == weigh(scan(*series(*there)), None)
