"""The beginnings from which crashes of landing units are tried; the drops are called `units`."""

import os
import zipfile
from pathlib import Path

from faults import aftermath, scenes

WHOLE = 'import = "transactional"\n'


def put(root, name, *, sop, series="1", **values):
    """One file of the drop."""
    return scenes.put(root, "units", name, sop=sop, series=series, **values)


def two_studies(root, *, project="AUTO", more=""):
    """A directory of two studies, with a known file twice and a file that is none."""
    scenes.furnish(root, units=f'{WHOLE}project = "{project}"\n{more}')
    put(root, "u/1", sop=1)
    put(root, "u/deep/2", sop=2, series="2")
    put(root, "u/deep/3", sop=2, series="2")
    other = {"study": "1.2.7", "patient_id": "P7"}
    put(root, "u/7", sop=71, series="7", **other)
    Path(root, "drops/units/u/notes.txt").write_text("as is")


def kept(root):
    """The same in a drop that keeps its files."""
    two_studies(root, more='after = "keep"\n')


def called_complete(root):
    """The same, called complete by its sender, on its way into the archive."""
    two_studies(root, project="HELD", more='dest = "archive"\n')
    Path(root, "drops/units/u/.complete").touch()


def packed(root):
    """The same as an archive file in a gradual drop."""
    two_studies(root)
    scenes.furnish(root, units='project = "AUTO"\n')
    folder = Path(root, "drops/units/u")
    with zipfile.ZipFile(f"{root}/drops/units/x.zip", "w") as out:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                out.write(path, path.relative_to(folder))
                path.unlink()
    (folder / "deep").rmdir()
    folder.rmdir()


def waiting(root):
    """A session of the prearchive that is READY."""
    scenes.furnish(root, units=f'{WHOLE}project = "HELD"\n')
    put(root, "u/1", sop=1)
    put(root, "u/2", sop=2, series="2")


def late(root):
    """A unit that adds to it: a known file and new ones."""
    put(root, "v/1", sop=1)
    put(root, "v/4", sop=4, series="2")
    put(root, "v/5", sop=5, series="3")


def unit_files(root):
    """The digests of the instances among what lies in the drop, or is packed there."""
    return {aftermath.md5(path) for path in Path(root, "drops").rglob("*") if _is_dicom(path)}


def _is_dicom(path):
    if not path.is_file() or path.suffix == ".zip":
        return False
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def packed_files(root):
    """The digests of the instances in the archive file of the drop."""
    found = set()
    with zipfile.ZipFile(f"{root}/drops/units/x.zip") as archive:
        for name in archive.namelist():
            data = archive.read(name)
            if data[128:132] == b"DICM":
                found.add(aftermath.hashlib.md5(data).hexdigest())
    return found


def is_promised(root):
    """Whether a unit is promised."""
    return any(Path(root, "store/prearchive/.watcher-incoming").glob("unit-*/unit.json"))


def instances(root):
    """The digests of what lies in sessions of prearchive and archive, under a name of its own."""
    return {
        aftermath.md5(path)
        for store in ("prearchive", "archive")
        for path in Path(root, "store", store).rglob("*.dcm")
        if ".watcher" not in os.fspath(path) and not path.name.startswith(".")
    }
