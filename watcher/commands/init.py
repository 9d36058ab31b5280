"""`watcher init`."""

import os
import shlex
from typing import Annotated

from cyclopts import Parameter

from watcher.commands.looked import mender
from watcher.commands.options import PLAIN, Common
from watcher.commands.output import print_json
from watcher.core.errors import ClashError, ConfigurationError, RefusedError
from watcher.io import files
from watcher.report.configuration import compose, drop_names
from watcher.settings import parse


def init(
    *paths: str,
    root: Annotated[str, Parameter(help="Where the stores go.")] = "/srv/imaging",
    project: Annotated[str, Parameter(help="What is dropped belongs to it.")] = "",
    common: Common = PLAIN,
) -> int:
    """Write a commented configuration for these drops to ./watcher.toml, or to --config FILE.

    Every key is in it; those that are defaults are commented out. No file is ever overwritten.

    Example: watcher init /srv/drop/mri /srv/drop/ct --project PROJ1
    """
    if not paths:
        raise ConfigurationError("no drop given", hint="watcher init /srv/drop/mri")
    target = os.path.abspath(common.config or "watcher.toml")
    if os.path.lexists(target):
        raise _taken(target)
    drops = [os.path.abspath(path) for path in paths]
    text = _composed(drops, os.path.abspath(root), project, target)
    _write(target, text)
    following = mender(target).watcher("check")
    if common.json:
        print_json({"config": target, "next": following})
    else:
        print(f"wrote {target}; next: {following}")
    return 0


def _composed(paths: list[str], root: str, project: str, target: str) -> str:
    """The text; ConfigurationError with every fault where it would not load."""
    names = drop_names([os.path.basename(path) for path in paths])
    text = compose(root, list(zip(paths, names, strict=True)), project)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ConfigurationError(
            "a path is not UTF-8, and TOML can't say it", hint="rename the folder, or link to it"
        ) from error
    parse(text, target)
    return text


def _write(target: str, text: str) -> None:
    """The whole file under its name at once; RefusedError where the name is taken meanwhile."""
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        raise ConfigurationError(
            f"there is no folder {folder}", hint=shlex.join(["mkdir", "-p", folder])
        )
    draft = f"{target}.{os.getpid()}"
    try:
        files.swap(draft, text.encode())
        files.place(draft, target)
    except ClashError as error:
        raise _taken(target) from error
    finally:
        files.remove(draft)


def _taken(target: str) -> RefusedError:
    return RefusedError(f"{target} is there already", hint="--config FILE names another")
