"""What an archiving that was cut off needs stays, and is not taken from under it."""

import os
from dataclasses import replace

import pytest

from watcher.core.errors import HeldError
from watcher.core.session import Status
from watcher.stages import decide, history, requeue, restore
from watcher.stages.archive import archive
from watcher.stages.recover import carry_on

PERSON = {"who": "anna", "reason": "as the study says"}


class CutError(BaseException):
    """The end of the program, as the trip-wire has it."""


def cut_off(bench, session, **options):
    """An archiving that ended after its documents were swapped, before its session left."""

    def emit(event, /, **fields):
        if event == "session.merged":
            raise CutError
        bench.parts.emit(event, **fields)

    parts = replace(bench.parts, emit=emit)
    with pytest.raises(CutError):
        decide.archive_now(parts, session.id, **options)
    assert Status.ARCHIVING is bench.parts.ledger.session(session.id).status


@pytest.mark.parametrize("act", [restore.restore, restore.purge])
@pytest.mark.parametrize("policy", ["keep", "overwrite"])
def test_an_entry_of_the_history_waits_for_its_archiving(bench, policy, act):
    """Refused, naming the session; carried on, the entry is free."""
    bench.archived(1)
    session = bench.rebuilt(bench.again(1))
    cut_off(bench, session, **{policy: True}, **PERSON)
    (entry,) = history.entries(bench.parts)
    with pytest.raises(HeldError, match=session.id):
        act(bench.parts, entry, **PERSON)
    carry_on(bench.parts, session.id)
    act(bench.parts, entry, **PERSON)
    assert [] == history.entries(bench.parts)


def test_an_entry_of_the_quarantine_waits_for_its_archiving(bench):
    """Refused for purge and requeue; afterwards the entry tells where the file was sent from."""
    bench.archived(1)
    session = bench.built(1, sop_class="1.2.840.10008.5.1.4.1.1.4", modality="MR")
    cut_off(bench, session)
    (entry,) = bench.parts.registry.aside()
    for act in (
        lambda: requeue.purge(bench.parts, entry, **PERSON),
        lambda: requeue.requeue(bench.parts, {"mri": bench.drop}, entry, **PERSON),
    ):
        with pytest.raises(HeldError, match=session.id):
            act()
    carry_on(bench.parts, session.id)
    assert Status.ARCHIVED is bench.parts.ledger.session(session.id).status
    assert b"in1" == entry.path
    assert entry.hint.endswith(f"`watcher quarantine purge {entry.id} --reason TEXT`")
    assert not requeue.purge(bench.parts, entry, **PERSON).open


def test_a_linked_folder_of_the_archive_is_an_error(bench, tmp_path):
    """The machine could not: nothing is linked in behind it, and an administrator is told."""
    bench.archived(1)
    session = bench.built(2)
    scan = f"{bench.shelf()}/SCANS/1"
    (tmp_path / "outside").mkdir()
    os.rename(scan, tmp_path / "outside" / "1")
    os.symlink(tmp_path / "outside" / "1", scan)
    before = sorted(tmp_path.joinpath("outside").rglob("*"))
    done = archive(bench.parts, session.id)
    assert (Status.ERROR, True) == (done.status, "is a link" in done.error)
    assert before == sorted(tmp_path.joinpath("outside").rglob("*"))
