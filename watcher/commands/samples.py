"""What `watcher demo` drops: real DICOM files out of pydicom's package, and a configuration."""

import json
import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Final

from watcher.core.errors import ConfigurationError
from watcher.io import files

DROPS: Final = ("routine", "trial")
LOG: Final = "watcher.jsonl"
CONFIG: Final = "watcher.toml"

_CONFIGURATION: Final = """\
# Made by `watcher demo`. `watcher run --config THIS_FILE` goes on with it.
[storage]
root = {store}
reserve = "16MiB"

[[drop]]                                    # what scanners send: the headers tell the session
path = {routine}
project = "ROUTINE"
settle = "500ms"

[[drop]]                                    # what people sort: the folder names the session
path = {trial}
project = "TRIAL"
layout = "{{session}}"
settle = "500ms"

[session]
inactivity = "5s"

[identify]
session = ["{{PatientID}}_{{StudyDate}}"]

[log]
file = {log}
level = "debug"                             # names every file
identifiers = "plain"                       # these patients are pydicom's
"""

Copies = list[tuple[str, str]]
"""Files with the names they are dropped under."""

_PEOPLE: Final = "dicomdirtests"
_CD: Final = f"{_PEOPLE}/TINY_ALPHA"
_UPLOAD: Final = (
    *(f"77654033/CT2/{name}" for name in (17106, 17136, 17166, 17196)),
    *(f"77654033/{name}" for name in ("CR1/6154", "CR2/6247", "CR3/6278")),
    *(f"98892001/CT2N/{name}" for name in (6293, 6924)),
    *(f"98892001/CT5N/{name}" for name in (2062, 2392, 2693, 3023, 3353)),
    *(f"98892003/{name}" for name in ("MR1/5641", "MR2/6273", "MR2/6605", "MR2/6935")),
    *(f"98892003/MR700/{name}" for name in (4467, 4528, 4558, 4588, 4618, 4648, 4678)),
)
# Peter Doe has three MR studies of one day: the first in `upload`, the second comes late and finds
# its label taken, the third was sorted by hand.
_FIRST: Final[Mapping[str, Sequence[str]]] = {
    "routine/upload": [f"{_PEOPLE}/{name}" for name in _UPLOAD],
    "routine/still-copying": ["MR_truncated.dcm"],
    "trial/carotids/a": [f"{_PEOPLE}/98892003/MR1/15820"],
    "trial/carotids/b": [f"{_PEOPLE}/98892003/MR2/15970"],
    "trial/phantom-ct": ["CT_small.dcm"],
    "trial/phantom-mr/1/1": ["MR_small.dcm"],
    "trial/ultrasound": ["examples_ybr_color.dcm"],
    "trial/ecg": ["waveform_ecg.dcm"],
}
_LATE: Final = ("MR1/4919", "MR2/4950", "MR2/4981", "MR2/5011")
_SECOND: Final[Mapping[str, Sequence[str]]] = {
    "routine/late": [f"{_PEOPLE}/98892003/{name}" for name in _LATE]
}


def configuration(base: str) -> str:
    """The text of a configuration that keeps everything in `base`."""
    paths = {name: os.path.join(base, "drop", name) for name in DROPS}
    paths |= {"store": os.path.join(base, "store"), "log": os.path.join(base, LOG)}
    return _CONFIGURATION.format(**{name: _quoted(path) for name, path in paths.items()})


def _quoted(text: str) -> str:
    """A TOML string: JSON's, but for the one control character that JSON leaves bare."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def goes(base: str) -> tuple[Copies, Copies]:
    """What is dropped first and what comes late. ConfigurationError where pydicom has no samples.

    One folder is a CD as it was burnt, with its DICOMDIR; the rest has names that mean nothing.
    """
    samples = _samples()
    cd = os.path.join(samples, _CD)
    burnt = [
        (os.path.join(cd, name), os.path.join(base, "drop", "routine", "cd", name))
        for name in files.walk(cd)
    ]
    first = [*burnt, *_laid(samples, base, _FIRST, 1)]
    return first, _laid(samples, base, _SECOND, 1 + len(first))


def _laid(samples: str, base: str, layout: Mapping[str, Sequence[str]], start: int) -> Copies:
    each = [(folder, name) for folder, names in layout.items() for name in names]
    return [
        (os.path.join(samples, name), os.path.join(base, "drop", folder, f"{number:04d}"))
        for number, (folder, name) in enumerate(each, start)
    ]


def _samples() -> str:
    package = find_spec("pydicom")
    for place in (package.submodule_search_locations or ()) if package else ():
        path = os.path.join(place, "data", "test_files")
        if os.path.isdir(os.path.join(path, _CD)):
            return path
    raise ConfigurationError(
        "pydicom is installed without its sample files",
        hint="pip install --force-reinstall --no-deps pydicom",
    )
