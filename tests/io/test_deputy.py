"""What a deputy does: a disk that does not answer holds nobody else."""

import threading

import pytest

from watcher.io.deputy import Deputy, is_distant

PATIENCE = 200.0  # seconds until a machine that others use has done a thing


def test_what_it_does_is_done_and_its_error_is_told():
    """One thing after the other, in a thread of its own."""
    deputy, done = Deputy(PATIENCE), []
    for number in range(3):
        deputy.call(lambda number=number: done.append((number, threading.current_thread().name)))
    assert [(number, "deputy") for number in range(3)] == done
    with pytest.raises(FileNotFoundError):
        deputy.call(lambda: open("/nowhere/at/all", "rb"))  # noqa: SIM115  it is not there


def test_what_hangs_is_waited_for_once():
    """Then nothing is begun, and nobody waits, until it has ended."""
    deputy, answers, ended, done = Deputy(0.05), threading.Event(), threading.Event(), []

    def hang():
        answers.wait()
        ended.set()

    for work in (hang, lambda: done.append("refused")):
        with pytest.raises(TimeoutError):
            deputy.call(work)
    answers.set()
    ended.wait()
    deputy._patience = PATIENCE
    while not done:
        try:
            deputy.call(lambda: done.append("again"))
        except TimeoutError:  # it has not told yet
            continue
    assert ["again"] == done


def test_what_lies_here_is_not_distant(tmp_path):
    """A path on a disk of this machine, be it there or not."""
    assert not is_distant(str(tmp_path / "log"))
