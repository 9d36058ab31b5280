"""The beginnings from which crashes are tried: a folder with drops, stores and a configuration."""

import os
import re
import shutil
from pathlib import Path

from makers import CT, MR, make_dicom

STUDY = "1.2.3"
BASE = """
[storage]
root = "{root}/store"
reserve = "1MiB"
[session]
inactivity = "1s"
{drops}
[projects.AUTO]
auto_archive = true
[projects.HELD]
auto_archive = false
"""
DROP = """
[[drop]]
path = "{root}/drops/{name}"
name = "{name}"
settle = "20ms"
receipts = false
{more}
"""


def environment(**more):
    """Ours, but for coverage: what is killed leaves it half a file, and it slows every crash."""
    plain = {name: text for name, text in os.environ.items() if not name.startswith("COVERAGE_")}
    return {**plain, **more}


def furnish(root, **drops):
    """A configuration with these drops, by name, with their further lines."""
    for name in drops:
        os.makedirs(f"{root}/drops/{name}", exist_ok=True)
    text = "".join(DROP.format(root=root, name=n, more=more) for n, more in drops.items())
    Path(root, "w.toml").write_text(BASE.format(root=root, drops=text))
    return f"{root}/w.toml"


def copied(beginning, root):
    """The same beginning in another folder."""
    shutil.copytree(beginning, root)
    config = Path(root, "w.toml")
    config.write_text(config.read_text().replace(str(beginning), str(root)))
    return str(config)


def lose_ledger(root):
    """The ledger is gone, as after a disk was replaced."""
    for path in Path(root, "store/state").glob("ledger.sqlite*"):
        path.unlink()


def put(root, drop, name, *, sop, series="1", **values):
    """One file of a drop; series share the number 4, so that a build renames their scans."""
    return make_dicom(
        f"{root}/drops/{drop}/{name}",
        **{
            "study": STUDY,
            "series": f"{STUDY}.{series}",
            "sop": f"{STUDY}.9.{sop}",
            "sop_class": MR,
            "modality": "MR",
            "number": 4,
            "instance": sop,
            **values,
        },
    )


def two_drops(root):
    """One whose files are linked and removed, one whose files are copied and kept."""
    furnish(root, linked='project = "AUTO"', kept='project = "AUTO"\nafter = "keep"')


def both_filled(root):
    """Three files, a duplicate and a file that is none in one drop; two in the other."""
    put(root, "linked", "a/1", sop=1)
    put(root, "linked", "a/2", sop=2, series="2")
    put(root, "linked", "a/3", sop=3, series="2")
    shutil.copy2(f"{root}/drops/linked/a/3", f"{root}/drops/linked/a/3 again")
    Path(root, "drops/linked/a/notes.txt").write_text("as is")
    other = {"study": "1.2.7", "patient_id": "P7", "number": 1}
    put(root, "kept", "b/1", sop=71, series="7", **other)
    put(root, "kept", "b/2", sop=72, series="7", **other)


def one_drop(root):
    """One whose files are removed and archived."""
    furnish(root, linked='project = "AUTO"')


def shared(root):
    """Files with a second link elsewhere, so that they are copied and removed; and one without."""
    os.makedirs(f"{root}/elsewhere")
    for number, series in ((1, "1"), (2, "2"), (3, "2")):
        path = put(root, "linked", f"a/{number}", sop=number, series=series)
        os.link(path, f"{root}/elsewhere/{number}")
    put(root, "linked", "a/linked", sop=4, series="2")
    Path(root, "drops/linked/a/notes.txt").write_text("as is")


def waiting(root, project):
    """A session of two series."""
    furnish(root, linked=f'project = "{project}"' if project else "")
    put(root, "linked", "a/1", sop=1)
    put(root, "linked", "a/2", sop=2, series="2")
    put(root, "linked", "a/3", sop=3, series="2")


def ready(root):
    """A session that stays READY."""
    waiting(root, "HELD")


def unassigned(root):
    """A session without a project."""
    waiting(root, None)


def archived(root):
    """A session that is to be archived."""
    waiting(root, "AUTO")


def late(root):
    """Late files of it: new ones, a whole new series, one known, one of another class."""
    put(root, "linked", "b/1", sop=1)
    put(root, "linked", "b/4", sop=4, series="2")
    put(root, "linked", "b/5", sop=5, series="3")
    put(root, "linked", "b/2", sop=2, series="2", sop_class=CT)


def mixed(root):
    """A session of two studies, in a folder of a drop whose layout names the session."""
    furnish(root, linked='project = "AUTO"\nlayout = "{session}"')
    put(root, "linked", "P1/1", sop=1)
    put(root, "linked", "P1/2", sop=2, series="2")
    put(root, "linked", "P1/3", sop=3, series="3", study="1.2.5")


def foreign(root):
    """Files under the archived label that are of another study."""
    put(root, "linked", "b/1", sop=51, series="5", study="1.2.5")
    put(root, "linked", "b/2", sop=52, series="6", study="1.2.5")


def late_in_part(root):
    """Late files of which one differs, so that its scan is held; the others can go in."""
    put(root, "linked", "b/1", sop=1, ImageComments="another")
    put(root, "linked", "b/6", sop=6)
    put(root, "linked", "b/2", sop=2, series="2")
    put(root, "linked", "b/4", sop=4, series="2")
    put(root, "linked", "b/5", sop=5, series="0")  # the first of its number: the IDs move
    put(root, "linked", "b/3", sop=3, series="2", sop_class=CT)


def overwriting(root):
    """A session that is to be archived, of a project whose newcomers replace."""
    waiting(root, "OVER")
    config = Path(root, "w.toml")
    config.write_text(f"{config.read_text()}[projects.OVER]\noverwrite = true\n")


def late_replacing(root):
    """Late files: two that replace, a known one, a new one, and a series whose number is taken."""
    put(root, "linked", "b/1", sop=1, ImageComments="another")
    put(root, "linked", "b/2", sop=2, series="2")
    put(root, "linked", "b/3", sop=3, series="2", ImageComments="another")
    put(root, "linked", "b/4", sop=4, series="2")
    put(root, "linked", "b/5", sop=5, series="0")


def late_to_a_poor_catalog(root):
    """A late file of a scan whose catalog has lost the UIDs."""
    scan = Path(root, "store/archive/AUTO/arc001/P1/SCANS/4-MR2/DICOM/scan_4-MR2_catalog.xml")
    scan.write_text(re.sub(r' UID="1\.2\.3\.9\.\d+"', "", scan.read_text()))
    put(root, "linked", "b/4", sop=4, series="2")
    put(root, "linked", "b/2", sop=2, series="2")


def two_drops_archived(root):
    """A session that is to be archived, and a second drop, whose files are copied and kept."""
    two_drops(root)
    put(root, "linked", "a/1", sop=1)
    put(root, "linked", "a/2", sop=2, series="2")
    put(root, "linked", "a/3", sop=3, series="2")


def crowded(root):
    """All at once: late files, one with a second link, a note; and a session of the other drop."""
    late(root)
    os.makedirs(f"{root}/elsewhere")
    os.link(put(root, "linked", "a/shared", sop=6, series="2"), f"{root}/elsewhere/shared")
    Path(root, "drops/linked/a/notes.txt").write_text("as is")
    other = {"study": "1.2.7", "patient_id": "P7"}
    put(root, "kept", "c/1", sop=71, series="7", **other)
    put(root, "kept", "c/2", sop=72, series="8", **other)
