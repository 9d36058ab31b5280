"""What lies in a store may have been written by others: its words lead nowhere else (spec 13)."""

import base64
import json
import os

import pytest

from watcher.core.errors import DocumentError
from watcher.core.file import Refusal, RefusalCode
from watcher.core.record import session_values
from watcher.core.session import Decision, Status
from watcher.io import files
from watcher.stages import decide, history, requeue, restore
from watcher.stages.deleting import PLAN, carry_scans
from watcher.stages.quarantine import put_aside
from watcher.stages.reindex import index
from watcher.stages.split import _read

PERSON = {"who": "anna", "reason": "as the study says"}


def rewrite(path, **changes):
    values = {**json.loads(files.read(path)), **changes}
    files.swap(path, json.dumps(values).encode())


def outside(tmp_path):
    """Everything that lies neither in a store nor in the drop."""
    inside = (f"{tmp_path}/store/prearchive", f"{tmp_path}/store/history", f"{tmp_path}/drop")
    return [p for p in files.walk(str(tmp_path)) if not f"{tmp_path}/{p}".startswith(inside)]


def test_a_restore_goes_to_no_session_that_has_no_id(bench, tmp_path):
    """`restoring` and the like count as not said where they can't be one."""
    decide.delete(bench.parts, bench.built(1).id, **PERSON)
    (entry,) = history.entries(bench.parts)
    reason = os.path.join(history.folder_of(bench.parts, entry), history.REASON)
    away = "../../../escape"
    rewrite(reason, restoring=away, session=away, subject=away)
    before = outside(tmp_path)
    (entry,) = history.entries(bench.parts)
    assert ("", "", "") == (entry.restoring, entry.session, entry.subject)
    done = restore.restore(bench.parts, entry, **PERSON)
    assert (Status.READY, entry.stamp) == (done.status, done.id)
    assert len(before) == len(outside(tmp_path))


@pytest.mark.parametrize("way", [b"../escaped/a", b"/tmp/escaped", b"a/../../b", b"", b"a//b"])
def test_a_file_goes_back_to_no_other_place(bench, tmp_path, way):
    """A path out of the drop counts as not said: the file has its name there."""
    path = bench.path("a")
    files.swap(path, b"bytes")
    put_aside(bench.parts, bench.drop, bench.candidate("a"), Refusal(RefusalCode.BAD_UID, "why"))
    (entry,) = bench.parts.registry.aside()
    reason = os.path.join(requeue.folder_of(bench.parts, entry), "reason.json")
    rewrite(reason, path_base64=base64.b64encode(way).decode())
    with bench.parts.ledger.write() as tx:
        tx.exec_driver_sql("DELETE FROM quarantine")
    index(bench.parts)
    (entry,) = bench.parts.registry.aside()
    assert b"" == entry.path
    requeue.requeue(bench.parts, {"mri": bench.drop}, entry, **PERSON)
    assert (b"bytes", ["a"]) == (files.read(path), list(files.walk(bench.drop.path)))


@pytest.mark.parametrize("place", [("..", "a"), ("1", "../../../a"), ("", "a"), ("1", "")])
def test_a_promise_about_scans_names_files_of_its_session(bench, place):
    """Otherwise it can't be read, and nothing is removed."""
    session = bench.built(1)
    decision = Decision(when=1.0, who="anna", command="delete --scan 1", reason="x")
    session = bench.parts.ledger.edit(session.id, decisions=(decision,))
    places = [{"scan": place[0], "folder": "DICOM", "name": place[1]}]
    plan = json.dumps({"when": 1.0, "places": places}).encode()
    files.swap(bench.parts.storage.beside(session, PLAN), plan)
    before = bench.tree("prearchive")
    with pytest.raises(DocumentError):
        carry_scans(bench.parts, session)
    assert before == bench.tree("prearchive")


@pytest.mark.parametrize(
    "changes",
    [{"id": "../../x"}, {"project": ".."}, {"label": "../x"}, {"files": ["SCANS/../DICOM/a"]}],
)
def test_a_split_s_plan_names_sessions_beside_it(bench, changes):
    """A session of another place, or a file of none, is no share."""
    old = bench.filed(1)
    share = {"session": {**session_values(old), **changes}, "files": changes.get("files", [])}
    share["session"].pop("files", None)
    with pytest.raises(DocumentError):
        _read(old, json.dumps({"shares": [share]}).encode())


def test_a_fifo_in_the_archive_blocks_nobody(bench):
    """A catalog that is none: the build ends, and says what the machine could not."""
    bench.archived(1)
    catalog = f"{bench.shelf()}/SCANS/1/DICOM/scan_1_catalog.xml"
    os.remove(catalog)
    os.mkfifo(catalog)
    session = bench.rebuilt(bench.filed(2))
    done = decide.archive_now(bench.parts, session.id)
    assert Status.ERROR is done.status
