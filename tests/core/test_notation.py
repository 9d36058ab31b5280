"""Durations, sizes, layouts, names and addresses of the configuration."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.core import notation


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("2s", 2.0), ("5m", 300.0), ("1h", 3600.0), ("30d", 2592000.0), ("0s", 0.0)],
)
def test_durations_have_units(text, seconds):
    """Every unit of spec 3 gives its seconds."""
    assert seconds == notation.parse_duration(text)


@pytest.mark.parametrize(
    "text", ["", "5", "m", "5 m", "5min", "1.5h", "-1s", "5M", "\u0665s", "9999999999s", "5m\n"]
)
def test_other_durations_are_refused_with_advice(text):
    """Nothing is guessed: what is not a whole number and a known unit is refused."""
    with pytest.raises(ValueError, match='"500ms" "2s" "5m" "1h" "30d"'):
        notation.parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [("512B", 512), ("1KiB", 1024), ("100MiB", 104857600), ("5GiB", 5368709120), ("1TiB", 2**40)],
)
def test_sizes_have_units(text, size):
    """Every unit of spec 3 gives its bytes."""
    assert size == notation.parse_size(text)


@pytest.mark.parametrize("text", ["5", "5GB", "5gib", "1.5GiB", "GiB", ""])
def test_other_sizes_are_refused_with_advice(text):
    """A decimal unit is not taken for a binary one."""
    with pytest.raises(ValueError, match="5GiB"):
        notation.parse_size(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.5, "500 ms"),
        (0.9996, "1 s"),
        (2.5, "2.5 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min"),
        (300.0, "5 min"),
        (90, "1 min 30 s"),
        (5400, "1 h 30 min"),
        (3725, "1 h 2 min"),
        (86405, "1 d 5 s"),
        (2592000, "30 d"),
    ],
)
def test_durations_are_shown_in_two_units_at_most(seconds, text):
    """A person reads the largest unit first and never `60 s`."""
    assert text == notation.format_duration(seconds)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (2**20 - 1, "1 MiB"),
        (5 * 2**30, "5 GiB"),
        (2**51, "2048 TiB"),
    ],
)
def test_sizes_are_shown_to_one_decimal(size, text):
    """The largest unit that gives at least one, without a dangling `.0`."""
    assert text == notation.format_size(size)


@given(st.integers(1, 99_999), st.sampled_from(["s", "m", "h", "d"]))
def test_a_shown_duration_is_what_was_written(count, unit):
    """What is shown adds up to what was written, but for units beyond the second."""
    seconds = notation.parse_duration(f"{count}{unit}")
    sizes = {"s": 1, "min": 60, "h": 3600, "d": 86400}
    words = notation.format_duration(seconds).split()
    total = sum(int(n) * sizes[u] for n, u in zip(words[::2], words[1::2], strict=True))
    assert 0 <= seconds - total < sizes[words[-1]]


@given(st.integers(0, 2**50))
def test_a_shown_size_is_near(size):
    """One decimal is at most a twentieth of the unit away."""
    number, unit = notation.format_size(size).split()
    assert abs(size - float(number) * notation.BYTES[unit]) <= 0.0501 * notation.BYTES[unit]


@pytest.mark.parametrize("value", [5, 0, -3])
def test_a_bare_number_is_told_its_unit(value):
    """A number is no duration; the advice writes it with a unit."""
    with pytest.raises(ValueError, match=f'"{value}s"'):
        notation.read_duration(value)


@pytest.mark.parametrize("value", [True, None, 2.5, ["5m"], "0s"])
def test_a_duration_is_text_and_more_than_nothing(value):
    """Neither other types nor nought are durations."""
    with pytest.raises(ValueError, match=r"a duration is|longer than nothing"):
        notation.read_duration(value)


def test_a_word_may_stand_for_no_duration():
    """`auto` and `forever` are None; a wrong word is told of both forms."""
    assert notation.read_duration_or("auto", "auto") is None
    assert notation.read_duration_or("auto", "2s") == 2.0
    with pytest.raises(ValueError, match=r'"500ms".*; or "auto"'):
        notation.read_duration_or("auto", "otto")


def test_a_size_is_text():
    """A bare number is no size."""
    assert notation.read_size("1GiB") == 2**30
    with pytest.raises(ValueError, match="whole number and a unit"):
        notation.read_size(5)


def test_a_layout_becomes_its_parts():
    """Names, `*` and placeholders, one per directory."""
    expected = ("{project}", "raw", "*", "{timestamp}", "{subject}", "{session}")
    assert expected == notation.read_layout("{project}/raw/*/{timestamp}/{subject}/{session}")
    assert notation.read_layout("{session}") == ("{session}",)


@pytest.mark.parametrize(
    "value",
    [
        "",
        3,
        "/{session}",
        "{session}/",
        "{project}//{session}",
        "a{session}",
        "{session}*",
        "**/{session}",
        "../{session}",
        "./{session}",
        "{Session}",
        "{session}/{}",
        "{session}/a\0",
    ],
)
def test_a_part_of_a_layout_is_one_thing(value):
    """A placeholder or `*` stands alone in its part, and no part leads elsewhere."""
    with pytest.raises(ValueError, match="is neither a name"):
        notation.read_layout(value)


@pytest.mark.parametrize("value", ["{project}/{subject}", "*", "{session}/{session}"])
def test_a_layout_names_the_session_once(value):
    """`{session}` is needed, and no placeholder may come twice."""
    with pytest.raises(ValueError, match="each placeholder at most once"):
        notation.read_layout(value)


@pytest.mark.parametrize("text", ["", ".", "..", "a/b", "a\0"])
def test_a_name_is_fit_for_a_folder(text):
    """Names of drops are folders of the quarantine."""
    assert notation.parse_name("MR 3T.b") == "MR 3T.b"
    with pytest.raises(ValueError, match="folder"):
        notation.parse_name(text)


@pytest.mark.parametrize("text", ["127.0.0.1:9464", "localhost:1", "[::1]:65535"])
def test_an_address_has_host_and_port(text):
    """IPv4, a name, or IPv6 in brackets."""
    assert text == notation.parse_address(text)


@pytest.mark.parametrize(
    "text", ["", "9464", ":9464", "host:", "::1:9464", "host:65536", "h:1x", "host:0"]
)
def test_other_addresses_are_refused(text):
    """Half an address is none."""
    with pytest.raises(ValueError, match="address and a port"):
        notation.parse_address(text)
