"""Several things given to one command."""

import pytest

from watcher.commands.several import on_each
from watcher.core.errors import MissingPlaceError, RefusedError, UnknownSessionError, WatcherError

ERRORS = {
    "refused": RefusedError("no", hint="try"),
    "unknown": UnknownSessionError("who"),
    "missing": MissingPlaceError("where"),
    "failed": WatcherError("what"),
}


def act(name):
    if name in ERRORS:
        raise ERRORS[name]
    return name.upper()


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], ([], 0)),
        (["a", "b"], (["A", "B"], 0)),
        (["refused", "a"], (["A"], 4)),
        (["refused", "failed", "a"], (["A"], 1)),
        (["failed", "missing"], ([], 10)),
        (["missing", "unknown", "failed"], ([], 2)),
    ],
)
def test_one_that_fails_stops_no_other(names, expected, capsys):
    """All others are acted on; each failure is said; the first code of spec 4 counts."""
    assert expected == on_each(names, act, str)
    said = capsys.readouterr().err
    assert sum(name in ERRORS for name in names) == said.count("watcher: ")
    assert ("refused" in names) == ("watcher: refused: no (try)\n" in said)


def test_a_single_one_raises_its_own():
    """The program's border says it, as for any command."""
    with pytest.raises(RefusedError):
        on_each(["refused"], act, str)
