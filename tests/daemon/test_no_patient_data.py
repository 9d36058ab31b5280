"""Nothing of a patient leaves a coded installation, wherever it came from (spec 12, *Coded*)."""

import json
import os
import re
import shutil
import sys

import pytest
from hospital import Hospital
from makers import make_dicom
from planting import Planted, forms, leaks
from world import own_host

CODED = re.compile("~[0-9a-f]{8}")
SAID = {  # of what is planted
    *("session.conflict", "session.decided", "session.settled", "session.archived", "file.stuck"),
    *("file.waiting", "file.quarantined", "quarantine.settled", "archive.damaged", "daemon.fault"),
    *("drop.unmatched", "daemon.recovered"),
}
# A reader, as `Worker.start` starts it, that one file ends and another file makes fail.
READER = """#!{python}
import os, sys, warnings
import watcher.io.reader as reader
walk = reader.walk
def met(data, size, *more, **limits):
    head = bytes(data[:size])
    warnings.warn(repr(head))
    if {killing!r} in head:
        sys.stderr.write(repr(head))
        os.abort()
    if {failing!r} in head:
        raise ValueError(head)
    return walk(data, size, *more, **limits)
reader.walk = met
sys.exit(reader.main(sys.argv[4:]))
"""
# A daemon of which a part fails, warns and logs with the words of the data.
BUG = """
import logging, sys, warnings
import watcher.stages.rebuild
from watcher.cli import call
sys.executable, words = sys.argv[1], sys.argv[2:]
def boom(*_, **__):
    warnings.warn({word!r})
    logging.getLogger("pydicom").error({word!r})
    raise ValueError({word!r})
watcher.stages.rebuild.tidy = boom
sys.exit(call(words))
"""


def lines(outputs):
    """Every line of the log in the outputs."""
    found = {
        each.lstrip(b"<0123456789>") for data in outputs.values() for each in data.split(b"\n")
    }
    return [json.loads(each) for each in found if each.startswith(b'{"timestamp')]


def nothing_of(world):
    """Fails with each value that came out: where it was put, where it was found."""
    pages = {name: data for name, data in world.outputs.items() if "index.html" not in name}
    found = leaks(world.planted, world.outputs) + leaks(world.contact, pages)
    shown = [
        f"{where}: {value!r} as {form!r} in {name}: {about}"
        for where, value, form, name, about in found
    ]
    assert [] == shown, f"{len(shown)} leaks\n" + "\n\n".join(shown[:40])


def unknown(world):
    """The coded names, and reasons, that `find` does not turn back, with a line of each."""
    found = {
        line[name]: line
        for line in lines(world.outputs)
        for name in ("project", "subject", "label", "reason")
        if CODED.fullmatch(line.get(name, ""))
    }
    assert len(found) > 20
    return {each: line for each, line in found.items() if not world.json("find", each)[0]}


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("Müller^Jörg", [b"M\xc3\xbcller", b"M\xfcller", "Müller".encode("utf-16-le")]),
        ("Müller^Jörg", [b"m\\u00fcller", b"M&#252;LLER", b"M%C3%BCller", b"J\\xf6rg"]),
        ("Müller^Jörg", [b"M\\udcfcller", b"M\\xc3\\xbcller", b"m%fcller", b"Mu\xcc\x88ller"]),
        ("Müller^Jörg", [b"M_ller_J_rg", b"J\xc3\xb6rg M\xc3\xbcller", "MÜLLER".encode()]),
        ("K07Q-1290000", [b"k07q1290000", b"K07Q-1290000", b"1290000"]),
        ("19560312", [b"1956-03-12", b"12.03.1956", b"03/12/1956"]),
        ("a b/Quaxi.dcm", [b"quaxi", b"a%20b%2FQuaxi.dcm"]),
        ("李明^王", ["李明".encode(), b"\\u674e\\u660e", b"&#x674e;&#x660e;"]),
        ("李明^王", [b"%E6%9D%8E%E6%98%8E", b"&#26446;&#26126;"]),
    ],
)
def test_the_search_knows_how_a_value_may_be_written(value, written):
    """Parts, cases, separators, labels, escapes and encodings; else it would prove nothing."""
    planted = Planted()
    planted.take(value, "here")
    assert forms(value)
    for each in written:
        assert leaks(planted, {"a line": b"[" + each + b"]"}), each
    assert [] == leaks(planted, {"a line": b"nothing of anybody"})


def test_what_comes_into_a_drop_does_not_come_out(tmp_path):
    """A part of it: headers, names, labels; in log, page, metrics and standard error."""
    world = Hospital(tmp_path)
    world.labels()
    world.settle()
    assert len(world.planted.values) > 100
    nothing_of(world)


@pytest.mark.campaign
@pytest.mark.timeout(1800)
def test_nothing_comes_out_of_a_daemon(tmp_path):
    """The whole of it, under systemd and the journal: wherever it was put, wherever it is looked
    for; and a coded name, or reason, is turned back by `watcher find`.
    """
    listen = f"{own_host()}:9464"
    world = Hospital(tmp_path, listen)
    world.arrive(turns=2)
    with world.daemon(listen) as seen:
        seen.rest()
        world.look()
        world.disagree(seen.rest)
        seen.rest()
        world.keep("http", content=seen.scraped())
        seen.reopen()
        world.decide()
        seen.rest()
        world.look()
    assert {} == unknown(world)
    broken(world, listen)
    world.wreck()
    world.settle()
    world.examine()
    shutil.rmtree(world.root / "state")
    world.settle()
    world.look()
    print(
        f"{len(world.planted.values)} values in {len(world.outputs)} outputs "
        f"of {sum(map(len, world.outputs.values()))} bytes"
    )
    assert SAID <= {each["event"] for each in lines(world.outputs)}
    nothing_of(world)


def broken(world, listen):
    """Readers that die and fail, a stage that fails; each with the words of what it reads."""
    killing, failing, word = (
        world.planted.ascii(f"a bug: {each}") for each in ("die", "fail", "say")
    )
    reader = world.base / "reader"
    values = {"killing": killing.encode(), "failing": failing.encode()}
    reader.write_text(READER.format(python=sys.executable, **values))
    reader.chmod(0o755)
    for each in (killing, failing, word):
        path = world.drop / world.planted.path("a bug's folder") / "1.dcm"
        make_dicom(path, **world.person(), **world.uids(), comments=each)
    program = ("-c", BUG.format(word=word), str(reader))
    with world.daemon(listen, program) as seen:
        for code in ("crashed-reader", "unreadable"):
            seen.wait_for("file.quarantined", code=code)
        seen.wait_for("daemon.fault", part="session")
    os.unlink(reader)
