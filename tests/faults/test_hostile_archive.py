"""Documents in the archive written to harm: refused or reported in a line, nothing else is read."""

import os
import re
from pathlib import Path

import pytest
from makers import make_dicom
from world import World, md5

pytestmark = pytest.mark.faults
SECRET = "TOPSECRET"
HEAD = b"<?xml version='1.0' encoding='UTF-8'?>\n"
NAMESPACES = b'xmlns:cat="http://nrg.wustl.edu/catalog" xmlns:xi="http://www.w3.org/2001/XInclude"'
GROWTH = 800  # MiB that the worst document may cost this process
LONGEST = 60.0  # seconds of processor time for all commands on one document


def catalog(inside, *, before=b""):
    """A catalog with this inside its entries."""
    return (
        HEAD
        + before
        + b"<cat:DCMCatalog "
        + NAMESPACES
        + b"><cat:entries>"
        + inside
        + b"</cat:entries></cat:DCMCatalog>"
    )


def entry(uri, digest=b"0" * 32):
    return b'<cat:entry URI="%s" UID="1.2.3.1.1" digest="%s"/>' % (uri, digest)


LAUGHS = b"<!DOCTYPE a [<!ENTITY a0 'ha'>" + b"".join(
    b"<!ENTITY a%d '%s'>" % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 12)
)
DOCUMENTS = {
    "an entity that reads a file": lambda secret: catalog(
        b"<cat:entry URI='a'>&x;</cat:entry>",
        before=b'<!DOCTYPE a [<!ENTITY x SYSTEM "file://%s">]>' % secret,
    ),
    "a parameter entity": lambda secret: catalog(
        b"", before=b'<!DOCTYPE a [<!ENTITY %% x SYSTEM "file://%s"> %%x;]>' % secret
    ),
    "a DTD": lambda secret: catalog(b"", before=b'<!DOCTYPE a SYSTEM "file://%s">' % secret),
    "a billion laughs": lambda _: catalog(entry(b"&a11;"), before=LAUGHS + b"]>"),
    "XInclude": lambda secret: catalog(b'<xi:include href="%s" parse="text"/>' % secret),
    "deep": lambda _: catalog(b"<cat:entrySet>" * 100_000 + b"</cat:entrySet>" * 100_000),
    "NUL": lambda _: catalog(entry(b"a\0b")),
    "an endless number": lambda _: catalog(
        b'<cat:entry URI="a" UID="1" instanceNumber="%s"/>' % (b"9" * 9000)
    ),
    "a path to a file outside": lambda secret: catalog(entry(secret)),
    "a path out of the session": lambda secret: catalog(entry(b"../" * 12 + secret[1:])),
    "a file: URI": lambda secret: catalog(entry(b"file://" + secret)),
    "encoded dots": lambda secret: catalog(entry(b"%2e%2e/" * 12 + secret[1:])),
    "a FIFO": lambda _: catalog(entry(b"fifo")),
    "a device": lambda _: catalog(entry(b"/dev/zero")),
    "nothing": lambda _: b"",
}
LARGE = {
    "100 MB of entries": lambda _: catalog(entry(b"a.dcm") * 1_400_000),
    "300 MB": lambda _: catalog(b"<!--" + b"x" * (300 << 20) + b"-->"),
    "8 million elements": lambda _: catalog(b"<a/>" * 8_000_000),
    "4 million attributes": lambda _: catalog(
        (b"<a " + b" ".join(b'a%d="b"' % n for n in range(100)) + b"/>") * 40_000
    ),
}
FEW = {"a billion laughs", "an entity that reads a file", "a path to a file outside", "a FIFO"}
SESSION = {"a billion laughs", "XInclude", "a DTD", "deep", "NUL", "nothing", "8 million elements"}


def cases(*, quick=()):
    """Each document as catalog, some as session XML; all but the `quick` ones of the campaign."""
    for what, make in {**DOCUMENTS, **LARGE}.items():
        for which in ("catalog", *(("session",) if what in SESSION else ())):
            runs_always = what in quick and which == "catalog"
            marks = [] if runs_always else [pytest.mark.campaign]
            yield pytest.param(which, what, make, id=f"{what} {which}", marks=marks)


@pytest.fixture(scope="module")
def archived(tmp_path_factory):
    """An archive with one session, made by a real run; and a secret beside the stores."""
    base = tmp_path_factory.mktemp("hostile")
    world = World(base)
    make_dicom(world.drop / "a.dcm", rows=32, columns=32)
    world.once()
    world.secret = os.fsencode(base / "secret.xml")
    make_dicom(base / "secret.xml", patient_id=SECRET)
    world.folder = next((world.root / "archive").rglob("*_catalog.xml")).parent
    os.mkfifo(world.folder / "fifo")
    return world


@pytest.fixture
def document(archived, request):
    """The catalog or the session XML of the archived session, as it was again afterwards."""
    path = {
        "catalog": archived.folder / "scan_1_catalog.xml",
        "session": archived.root / "archive" / "P1" / "arc001" / "P1.xml",
    }[request.param]
    kept = path.read_bytes()
    yield path
    path.write_bytes(kept)


COMMANDS = [["verify"], ["show", "P1/P1"], ["sessions", "--status", "ARCHIVED"]]


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("document", "what", "make"), [*cases(quick=FEW)], indirect=["document"])
def test_a_document_of_the_archive(archived, document, what, make, row):
    """Every command ends in bounds, in words of a line, and shows nothing of any other file."""
    kept = md5(archived.secret.decode())
    document.write_bytes(make(archived.secret))
    before, began = _calm(), _spent()
    for words in COMMANDS:
        code, text = archived.watcher(*words)
        assert "Traceback" not in archived.errors
        assert code in {0, 2, 3, 4}, archived.errors
        assert SECRET not in text + archived.errors
        assert len(archived.errors.splitlines()) <= 3
    assert _spent() - began < LONGEST
    assert _peak() - before < GROWTH
    assert kept == md5(archived.secret.decode())
    row("a hostile document in the archive", "verify, show, sessions").ran()


def _spent():
    """Seconds of processor time of this process and of what it ran (one that hangs is ended)."""
    return sum(os.times()[:4])


def _peak():
    """MiB of memory this process took at its highest since `_calm`."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) >> 10


def _calm():
    """The highest from now on (proc(5), clear_refs); gives what it is now."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _peak()


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("document", "what", "make"), [*cases()], indirect=["document"])
def test_what_comes_to_such_an_archive(archived, document, what, make, row):
    """A new file of that session is archived, or waits in the prearchive with the reason; a session
    beside it is archived. `refresh` mends, or refuses.
    """
    document.write_bytes(make(archived.secret))
    number = re.sub(r"\W", "", f"{abs(hash((what, str(document))))}")[:9]
    sent = {
        md5(make_dicom(archived.drop / "new.dcm", sop=f"1.2.3.1.{number}", instance=int(number))),
        md5(
            make_dicom(
                archived.drop / "o.dcm",
                sop=f"1.9.{number}",
                study=f"1.9.{number}.1",
                series=f"1.9.{number}.2",
                patient_id=f"O{number}",
            )
        ),
    }
    before = _calm()
    code, _ = archived.once()
    assert code in {0, 3}
    assert f"O{number}" in {path.stem for path in (archived.root / "archive").glob("P1/arc001/*")}
    code, _ = archived.watcher("refresh", "P1/P1")
    assert (True, False) == (code in {0, 3, 4}, "Traceback" in archived.errors), archived.errors
    assert _peak() - before < GROWTH
    everything = [path for path in archived.root.rglob("*") if path.is_file()]
    held = {md5(path) for path in everything}
    assert not any(SECRET.encode() in path.read_bytes() for path in everything)
    row("a hostile document in the archive", "run --once, refresh").ran(lost=len(sent - held))
