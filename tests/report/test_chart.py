"""The rate of filing, drawn."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from pages import MADE, hour

from watcher.core.rates import HOURS
from watcher.report.chart import TALL, ceiling, chart

NOW = datetime.fromisoformat(MADE)


def test_hours_not_named_had_no_files():
    """48 bars end with the hour of `made`; a gap in the rates is a bar of no height."""
    found = chart([[hour(3), 5]], NOW, UTC)
    assert [0] * 44 + [5] + [0] * 3 == [each.files for each in found.bars]
    assert datetime(2026, 11, 22, 9, tzinfo=UTC) == found.bars[-1].hour
    assert 0.0 == found.bars[-1].height


def test_heights_are_in_proportion_to_the_scale():
    """A bar is as high as its files of the scale's top; bars stand on the ground."""
    found = chart([[hour(0), 20], [hour(1), 5]], NOW, UTC)
    assert [TALL / 4, TALL] == [each.height for each in found.bars[-2:]]
    assert {TALL} == {each.y + each.height for each in found.bars}
    assert [(0, TALL), (10, TALL / 2), (20, 0)] == list(found.scale)


def test_a_single_file_is_seen():
    """An hour with files is never without a bar, however many another had."""
    found = chart([[hour(0), 1], [hour(1), 10**6]], NOW, UTC)
    assert 1.0 == found.bars[-1].height


def test_older_hours_are_left_off():
    """What is more than 48 hours ago is neither drawn nor counted."""
    found = chart([[hour(HOURS), 9], [hour(0), 1]], NOW, UTC)
    assert "1 file was filed in the last 48 hours, the most (1) from Sun 09:00." == found.text
    assert 1 == sum(each.files for each in found.bars)


def test_nothing_is_said_to_be_nothing():
    """Without files the sentence says so."""
    assert "No file was filed in the last 48 hours." == chart([], NOW, UTC).text


def test_the_axis_is_labelled_at_noon_and_midnight_of_the_zone():
    """Labels are in the reader's time; those near an edge are aligned with it."""
    zone = timezone(timedelta(hours=2))
    found = chart([], NOW, zone)
    assert ["Fri 12:00", "Sat 00:00", "Sat 12:00", "Sun 00:00"] == [
        each.text for each in found.marks
    ]
    assert ["start", "middle", "middle", "middle"] == [each.anchor for each in found.marks]
    assert [False, True, False, True] == [each.is_day for each in found.marks]
    late = chart([], NOW + timedelta(hours=1), zone)
    assert "end" == late.marks[-1].anchor


@pytest.mark.parametrize(
    ("files", "top"), [(0, 1), (1, 1), (2, 2), (3, 5), (6, 10), (1001, 2000), (5000, 5000)]
)
def test_the_scale_ends_at_a_round_number(files, top):
    """The top is the next of 1, 2, 5, 10, … that is not below the most files of an hour."""
    assert top == ceiling(files)


def test_a_scale_has_whole_numbers():
    """Half a file is no number of the scale."""
    assert [0, 5] == [files for files, _ in chart([[hour(0), 4]], NOW, UTC).scale]
