"""What may be said of an exception."""

import errno

import pytest

from watcher.core.errors import WatcherError
from watcher.core.failure import DEEPEST, explained, fault, leaf, trace


def raised(error):
    with pytest.raises(type(error)) as met:
        throw(error)
    return met.value.with_traceback(met.tb.tb_next)


def throw(error):
    raise error


def test_the_words_of_others_are_not_said():
    """Ours and the system's are; of a group each error is told."""
    errors = [
        ValueError("DOE^JANE"),
        WatcherError("ours"),
        FileNotFoundError(errno.ENOENT, "No such file", "/DOE"),
        OSError("DOE"),
    ]
    expected = ["ValueError", "WatcherError: ours", "FileNotFoundError: No such file", "OSError"]
    assert expected == list(map(explained, errors))
    assert f"ExceptionGroup({', '.join(expected)})" == explained(ExceptionGroup("DOE", errors))


def test_it_is_told_where_it_was_raised():
    """Modules, lines and functions, the innermost last; of a group that of its first error."""
    error = raised(ValueError("DOE^JANE"))
    (where,) = trace(error)
    assert where.startswith(f"{__name__}:")
    assert where.endswith(" throw")
    assert [where] == trace(raised(ExceptionGroup("", [ExceptionGroup("", [error])])))
    assert error is leaf(ExceptionGroup("", [error]))
    assert [] == trace(ValueError())


def test_a_deep_trace_is_cut():
    """The frames next to the fault are told."""

    def sink(depth):
        if depth:
            sink(depth - 1)
        raise KeyError

    with pytest.raises(KeyError) as met:
        sink(50)
    assert DEEPEST == len(trace(met.value))


def test_the_fields_of_a_fault():
    """Error, part and trace."""
    assert {"error": "KeyError", "part": "unit", "trace": []} == fault(KeyError("DOE"), "unit")
