"""The configuration: one TOML file (spec 3) into one frozen `Settings`.

Nobody else reads the file or the environment. Everything that is wrong is said at once.
"""

import os
import stat
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from watcher.core import policy
from watcher.core.errors import ConfigurationError
from watcher.core.faults import (
    Spot,
    alias_clashes,
    all_projects,
    overlaps,
    project_fault,
    shown,
    where,
)
from watcher.core.notation import format_duration
from watcher.io.mounts import read_mounts, resolved
from watcher.settings import tables

VARIABLE: Final = "WATCHER_CONFIG"
PLACES: Final = ("watcher.toml", "/etc/watcher/watcher.toml")
STORES: Final = ("prearchive", "archive", "quarantine", "history", "state", "status")


@dataclass(frozen=True, slots=True)
class LogSettings:
    """`[log]`: sizes in bytes, durations in seconds; `file` None: stdout only."""

    file: str | None = None
    level: Literal["debug", "info", "warning", "error"] = "info"
    identifiers: Literal["coded", "plain"] = "coded"
    rotate: int = 100 * 2**20
    keep: int = 10
    heartbeat: float = 60.0


@dataclass(frozen=True, slots=True)
class Retention:
    """`[retention]`, in seconds; None: for ever."""

    receipts: float | None = 30 * 86400.0
    history: float | None = None
    quarantine: float | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """All a configuration says, checked. Durations in seconds, sizes in bytes, paths absolute."""

    source: str
    stores: policy.Stores
    reserve: int
    drops: tuple[policy.Drop, ...]
    sessions: policy.SessionRules
    projects: policy.Projects
    identify: policy.Identify
    log: LogSettings
    limits: policy.Limits
    listen: str | None  # host:port of [metrics]
    retention: Retention


def _stores(storage: tables.Storage) -> policy.Stores:
    """Those given, else those below the root. Without a root its files go with the state."""
    given = {name: getattr(storage, name) for name in STORES}
    below = {name: f"{(storage.root or '').rstrip('/')}/{name}" for name in STORES}
    root = storage.root or storage.state or ""
    return policy.Stores(root=root, **{name: given[name] or below[name] for name in STORES})


def _spots(file: tables.File, source: str) -> Iterator[Spot]:
    """Every path, as it is written and with its links resolved; no share is asked for that."""
    mounted = read_mounts()

    def spot(
        place: str, kind: Literal["root", "store", "drop", "file"], path: str | None
    ) -> Iterator[Spot]:
        if path:
            yield Spot(place, kind, path, resolved(path, mounted))

    storage, stores = file.storage, _stores(file.storage)
    yield from spot("storage.root", "root", storage.root)
    for name in STORES:
        given = getattr(storage, name)
        if given or storage.root:
            place = f"storage.{name}" if given else "storage.root"
            yield from spot(place, "store", getattr(stores, name))
    for number, drop in enumerate(file.drop):
        yield from spot(f"drop[{number}].path", "drop", drop.path)
    yield from spot("log.file", "file", file.log.file)
    yield from spot("this file", "file", os.path.abspath(source))


def _storage_faults(storage: tables.Storage, faults: list[str]) -> Iterator[str]:
    missing = [name for name in STORES if getattr(storage, name) is None]
    told = any(line.startswith(("storage.", "storage:")) for line in faults)
    if missing and storage.root is None and not told:
        yield f"storage.root: found nothing; give it, or else also {' '.join(missing)}"


def _name(drop: tables.Drop) -> str:
    return drop.name or os.path.basename(drop.path)


def _drop_faults(drops: tuple[tables.Drop, ...], faults: list[str]) -> Iterator[str]:
    if not drops and not any(line.startswith("drop") for line in faults):
        yield "drop: found none; at least one [[drop]] with a path is needed"
    names: dict[str, int] = {}
    for number, drop in enumerate(drops):
        place = f"drop[{number}]"
        first = names.setdefault(_name(drop), number)
        if first != number and _name(drop):
            yield f'{place}.name: "{_name(drop)}" is the name of drop[{first}] already'
        if not drop.path and not any(line.startswith(f"{place}.path:") for line in faults):
            yield f"{place}.path: found nothing; every drop needs one"
        yield from _mode_faults(place, drop)


def _mode_faults(place: str, drop: tables.Drop) -> Iterator[str]:
    """What one way of importing has no use for (spec 7), and would pass over in silence."""
    if drop.mode == "transactional" and drop.layout:
        found = shown("/".join(drop.layout))
        yield f"{place}.layout: found {found}; refused in a transactional drop: it takes units"
    if drop.mode == "gradual" and drop.strict:
        yield f'{place}.strict: found true; it is for a drop with import = "transactional"'


def _projects(file: tables.File) -> policy.Projects:
    given = {name: policy.Project(name, **dict(table)) for name, table in file.projects.items()}
    return all_projects(given, [drop.project for drop in file.drop if drop.project is not None])


def _project_faults(file: tables.File) -> Iterator[str]:
    projects = _projects(file)
    yield from alias_clashes(projects.known.values())
    for name in file.projects:
        if fault := project_fault(name):
            yield f"{where(('projects', name))}: {fault}"
    for number, drop in enumerate(file.drop):
        known = drop.project in projects.known and drop.project not in file.projects
        if known and (fault := project_fault(drop.project or "")):
            yield f"drop[{number}].project: found {shown(drop.project)}; {fault}"


def _rest_faults(file: tables.File) -> Iterator[str]:
    """A session can't rest for longer than it may stay open."""
    rests: dict[str, float | None] = {"session.inactivity": file.session.inactivity}
    rests |= {where(("projects", n, "inactivity")): t.inactivity for n, t in file.projects.items()}
    rests |= {f"drop[{n}].inactivity": drop.inactivity for n, drop in enumerate(file.drop)}
    for place, rest in rests.items():
        if rest is not None and rest > file.session.max_open:
            yield f"{place}: found {format_duration(rest)}; longer than session.max_open"


def _drop(drop: tables.Drop, projects: policy.Projects) -> policy.Drop:
    project = projects.find(drop.project) if drop.project is not None else None
    touched = drop.after == "remove" or "receipts" in drop.model_fields_set
    fields = dict(drop) | {"name": _name(drop), "project": project.id if project else None}
    return policy.Drop(**fields | {"receipts": drop.receipts and touched})


def parse(text: str, source: str) -> Settings:
    """The settings in a TOML text; `source` is the path it came from.

    Raises ConfigurationError, whose `faults` are all that is wrong, a line each.
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{source} is not TOML", faults=(str(error),)) from error
    faults: list[str] = []
    file = tables.checked(raw, faults)
    faults += _storage_faults(file.storage, faults)
    faults += _drop_faults(file.drop, faults)
    faults += (*overlaps(_spots(file, source)), *_project_faults(file), *_rest_faults(file))
    if faults:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise ConfigurationError(f"{source}: {count}", faults=tuple(faults))
    projects = _projects(file)
    return Settings(
        source=source,
        stores=_stores(file.storage),
        reserve=file.storage.reserve,
        drops=tuple(_drop(drop, projects) for drop in file.drop),
        sessions=policy.SessionRules(**dict(file.session)),
        projects=projects,
        identify=policy.Identify(**dict(file.identify)),
        log=LogSettings(**dict(file.log)),
        limits=policy.Limits(**dict(file.limits)),
        listen=file.metrics.listen,
        retention=Retention(**dict(file.retention)),
    )


def _bytes(path: str) -> bytes | None:
    """What a file holds; None: nothing is there.

    The one OSError translated outside io/: here it means that what was typed is wrong (exit 2).
    """
    try:
        if stat.S_ISREG(os.stat(path).st_mode):  # opening a FIFO would wait for ever
            with open(path, "rb") as file:
                return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        hint = f"let this user read it: sudo -u USER head {path}"
        raise ConfigurationError(f"{path}: {error.strerror}", hint=hint) from error
    raise ConfigurationError(f"{path} is not a file", hint="--config FILE")


def find(config: str | None, environ: Mapping[str, str], folder: str) -> str:
    """The configuration's path: `config`, else $WATCHER_CONFIG, else the usual places.

    `folder` is where relative paths begin; one that can't be entered, as root's by whom `runuser`
    starts, is no usual place. Raises ConfigurationError where none is, or where the first one
    found is no file or can't be read: the next is then not taken in its stead.
    """
    named = config or environ.get(VARIABLE)
    places = PLACES if os.path.exists(os.path.join(folder, ".")) else PLACES[1:]
    tried = [os.path.join(folder, path) for path in ([named] if named else places)]
    for path in tried:
        if _bytes(path) is not None:
            return path
    hint = "watcher init PATH writes one; --config FILE names another"
    raise ConfigurationError(f"no configuration at {' or '.join(tried)}", hint=hint)


def load(path: str) -> Settings:
    """The settings in a file. Raises ConfigurationError, as `find` and `parse` do."""
    content = _bytes(path)
    if content is None:
        raise ConfigurationError(f"no configuration at {path}", hint="watcher init PATH")
    try:
        text = content.decode("utf-8-sig")  # Windows editors put a byte order mark in front
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8", faults=(str(error),)) from error
    return parse(text, path)
