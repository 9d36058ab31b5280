"""The status page as the program writes it, and as a browser shows it."""

import stat
import zlib

import pytest
from browser import PROGRAM, Browser
from makers import make_dicom
from pages import Page
from world import World

LONG = "VISIT" + "X" * 59  # as long as DICOM lets a PatientID be, and nowhere to break it


def text_of(world):
    """The page as it lies there; nothing before there is one."""
    path = world.root / "status" / "index.html"
    return path.read_text() if path.exists() else ""


def conflict(world, patient="P1", name="DOE^JOHN", root="1.2"):
    """Two studies under one label: the one archived last is held."""
    for study in (f"{root}.3", f"{root}.4"):
        uids = {"study": study, "series": f"{study}.1", "sop": f"{study}.1.1"}
        make_dicom(world.drop / f"{study}.dcm", patient_id=patient, patient_name=name, **uids)
    _, events = world.once()
    assert "daemon.stopped" in [each["event"] for each in events], world.errors


def test_a_conflict_is_on_the_page_for_everybody_to_read(tmp_path):
    """The reason, the number and the command of a session that is held; readable by others."""
    world = World(tmp_path)
    conflict(world)
    found = Page(text_of(world))
    number = world.sessions["P1"]["id"]
    assert "1 session waits for a decision" in found.one("title")["text"]
    for text in ("Invalid modification of session UID", f"watcher show {number}", "DOE_JOHN"):
        assert text in found.one("article")["text"]
    assert [("mri", "there")] == [
        (each["Drop"], each["State"]) for each in found.table("The folders")
    ]
    assert "1 file was filed" not in found.text
    assert "2 files were filed in the last 48 hours" in found.text
    mode = (world.root / "status" / "index.html").stat().st_mode
    assert 0o644 == stat.S_IMODE(mode)


def test_no_name_is_on_the_page_of_a_coded_installation(tmp_path):
    """Of labels, names and paths that are planted nothing is shown; the number still is."""
    world = World(tmp_path / "a")
    config = world.config.read_text()
    world.config.write_text(config.replace('identifiers = "plain"', 'identifiers = "coded"'))
    (world.drop / "Muster visit").mkdir()
    (world.drop / "Muster visit" / "Erika.txt").write_text("no DICOM file")
    conflict(world, patient="ERIKA77", name="MUSTER^ERIKA")
    text = text_of(world)
    found = Page(text)
    assert world.sessions["ERIKA77"]["id"] in found.text
    assert "Invalid modification of session UID" in found.text
    assert [] == [word for word in ("erika", "muster", str(world.base)) if word in text.lower()]


# -- in a browser ----------------------------------------------------------------------------------

GONE = """
heartbeat = "1s"
[[drop]]
path = "{gone}"
name = "gone"
[[drop]]
path = "{slow}"
name = "slow"
settle = "100ms"
inactivity = "1h"
contact = "imaging desk, 4711"
"""

# the least contrast of any text to the ground it stands on, by WCAG 2.2, and that text
CONTRAST = """(() => {
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const light = parts => parts.slice(0, 3).map(c => c / 255)
    .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
  const ground = one => {
    for (; one; one = one.parentElement) {
      const found = rgb(getComputedStyle(one).backgroundColor);
      if (found.length < 4 || found[3] > 0) return found;
    }
    return rgb(getComputedStyle(document.body).backgroundColor);
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let least = [21, ""], seen = 0;
  while (texts.nextNode()) {
    const one = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim()) continue;
    seen += 1;
    const style = getComputedStyle(one);
    const [a, b] = [light(rgb(one.closest("svg") ? style.fill : style.color)), light(ground(one))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < least[0]) least = [ratio, texts.currentNode.data];
  }
  return [...least, seen];
})()"""


def rows_of(png):
    """How many rows of a picture differ; one of a single colour has a few."""
    at, packed = 8, b""
    while at < len(png):
        size = int.from_bytes(png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            packed += png[at + 8 : at + 8 + size]
        at += size + 12
    width, depth = int.from_bytes(png[16:20]), {2: 3, 6: 4}[png[25]]
    raw, step = zlib.decompress(packed), width * depth + 1
    return len({raw[row : row + step] for row in range(0, len(raw), step)})


def roles(browser):
    """How often each role is in what a screen reader is given."""
    nodes = browser.ask("Accessibility.getFullAXTree")["nodes"]
    found = [each["role"]["value"] for each in nodes if not each["ignored"]]
    wanted = ("heading", "table", "row", "cell", "columnheader", "rowheader", "image")
    return {role: found.count(role) for role in wanted}


@pytest.fixture
def troubled(tmp_path):
    """A running daemon with a conflict, a session that receives, a torn file, and a lost drop."""
    paths = {name: tmp_path / name for name in ("gone", "slow")}
    for path in paths.values():
        path.mkdir()
    world = World(tmp_path, drop_lines=['stuck_after = "1s"'], extra=GONE.format(**paths))
    conflict(world)
    paths["gone"].rmdir()
    conflict(world, patient=LONG, root="1.4")
    with world.daemon() as daemon:
        make_dicom(paths["slow"] / "1.dcm", study="1.5", series="1.5.1", sop="1.5.1.1")
        whole = (paths["slow"] / "1.dcm").read_bytes()
        (world.drop / "torn.dcm").write_bytes(whole[:-50])
        (world.drop / "notes.txt").write_text("no DICOM file")
        wanted = ("2 sessions wait", "RECEIVING", "notes.txt", "torn.dcm", "MISSING")
        daemon.wait_until(lambda: all(each in text_of(world) for each in wanted))
        yield world


@pytest.mark.campaign
@pytest.mark.timeout(900)
@pytest.mark.skipif(PROGRAM is None, reason="needs Debian's chromium")
def test_it_is_seen_light_and_dark_on_a_desk_and_on_a_phone(troubled, tmp_path):
    """A browser loads the page alone, has nothing against it, scrolls only down and shows it all:
    the roles stay on a phone, each text has its contrast, and no two pictures are the same.
    """
    text = text_of(troubled)  # as it is now: the program goes on writing it
    Page(text)
    (tmp_path / "page.html").write_text(text)
    shots, seen = {}, {}
    address = f"file://{tmp_path}/page.html"
    with Browser(tmp_path / "profile") as browser:
        for scheme in ("light", "dark"):
            for width in (1200, 360):
                browser.open(address, width=width, scheme=scheme)
                assert [address] == browser.requested()
                assert [] == browser.complaints()
                assert width == browser.value("document.documentElement.scrollWidth")
                ratio, words, count = browser.value(CONTRAST)
                assert ratio >= 4.5, words
                assert count > 100
                seen[scheme, width] = roles(browser)
                shots[scheme, width] = browser.shot()
                (tmp_path / f"page-{scheme}-{width}.png").write_bytes(shots[scheme, width])
    assert 4 == len(set(shots.values()))
    assert all(rows_of(each) > 100 for each in shots.values())
    assert {str(seen["light", 1200])} == set(map(str, seen.values()))
    assert all(seen["light", 1200].values())
