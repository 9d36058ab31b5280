"""The whole job on a share: what is dropped there, or stored there, is archived whole, and once.

Run as a program it does that in a kernel of its own, where no test runner is: see `kernel`.
"""

import json
import os
import signal
import sys
from pathlib import Path

from makers import make_dicom
from world import World, files_below, md5

LAYOUTS = ("drop", "stores", "both")
STUDIES, IMAGES = 3, 4
WELL = {
    "ended": [0, 0],
    "lost": [],
    "archived": STUDIES * IMAGES + 1,
    "uncatalogued": [],
    "left": [],
    "prearchive": [],
    "waited": ["torn"],
    "said": [],
}
"""What `job` gives where all is well."""


class Installation(World):
    """Drop or stores on a share, or both; configuration and `state` are on a disk."""

    def __init__(self, local, share, layout, **given):
        super().__init__(local, storage_lines=[f'state = "{local}/state"'], **given)
        text = self.config.read_text()
        if layout != "drop":
            text, self.root = _instead(text, self.root, Path(share) / "store")
        if layout != "stores":
            text, self.drop = _instead(text, self.drop, Path(share) / "drop")
            self.drop.mkdir()
        self.config.write_text(text)


def _instead(text, old, new):
    return text.replace(f'"{old}"', f'"{new}"'), new


def job(local, share, layout, behind=None, *, killed=False):
    """A daemon takes three studies and a file that is torn at first, and ends; a run follows.

    `behind`: the share's own folder, where another host writes one of the studies. `killed`: a
    daemon before is killed in the midst of it. Gives what became of it, as WELL.
    """
    os.makedirs(local)
    world = Installation(local, share, layout)
    there = Path(behind) / "drop" if behind and layout != "stores" else world.drop
    if killed:
        with world.daemon() as first:
            sent = _send(world.drop, there)
            first.wait_for("file.filed", 3)
            first.stop(signal.SIGKILL)
    with world.daemon() as daemon:
        sent = sent if killed else _send(world.drop, there)
        sent.append(_torn(world.drop, daemon))
        daemon.wait_until(lambda: _is_at_rest(world, len(sent)), 400.0)
        codes = [daemon.stop()[0]]
    code, lines = world.once()
    events = [*daemon.events, *lines]
    found = world.archived()
    return {
        "ended": [*codes, code],
        "lost": sorted(set(sent) - set(found.values())),
        "archived": len(found),
        "uncatalogued": world.uncatalogued(),
        "left": world.left(),
        "prearchive": world.prearchive(),
        "waited": sorted({each["code"] for each in events if each["event"] == "file.waiting"}),
        "said": sorted({_line(each) for each in events if each["level"] not in {"debug", "info"}}),
    }


def _line(event):
    return " ".join([event["event"], *(str(event[key]) for key in ("text",) if key in event)])


def _send(drop, there):
    """The MD5 of each file: what `there` is another way to the drop gets the last study."""
    sent = []
    for study in range(1, STUDIES + 1):
        folder = (there if study == STUDIES else drop) / f"Study {study}"
        folder.mkdir()
        for number in range(1, IMAGES + 1):
            part = make_dicom(
                folder / f"Im{number}.part",
                study=f"1.2.{study}",
                series=f"1.2.{study}.1",
                sop=f"1.2.{study}.1.{number}",
                instance=number,
                patient_id=f"P{study}",
            )
            sent.append(md5(part))
            os.rename(part, folder / f"Im{number}")
    return sent


def _torn(drop, daemon):
    """A file that stays as it is until it was said to wait, and is filled then; its MD5."""
    uids = {"study": "1.2.9", "series": "1.2.9.1", "sop": "1.2.9.1.1"}
    path = make_dicom(drop / "whole.part", **uids, patient_id="P9")
    data, digest = Path(path).read_bytes(), md5(path)
    os.truncate(path, len(data) // 2)
    os.rename(path, drop / "torn")
    daemon.wait_for("file.waiting", timeout=400.0, path="torn")
    with open(drop / "torn", "ab") as file:
        file.write(data[len(data) // 2 :])
    return digest


def _is_at_rest(world, count):
    there = [each for each in files_below(world.root / "archive") if each.endswith(".dcm")]
    return (count, [], []) == (len(there), world.left(), world.prearchive())


def main(local, result, *shares):
    """Every job on shares `NAME=SHARE=BEHIND=LAYOUTS`; what they give, as JSON."""
    found = {}
    for each in shares:
        name, share, behind, layouts = each.split("=")
        for layout in layouts.split(","):
            place = os.path.join(share, layout)
            os.mkdir(place)
            own = os.path.join(local, name, layout)
            found[f"{name} {layout}"] = job(own, place, layout, os.path.join(behind, layout))
    Path(result).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
