"""The tables of the configuration file: their keys, types and defaults, as pydantic checks them."""

import os
import re
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, ValidationError

from watcher.core.faults import meant, shown, where
from watcher.core.notation import (
    parse_address,
    parse_name,
    read_duration,
    read_duration_or,
    read_layout,
    read_size,
)
from watcher.core.policy import DEEPEST, Rule, Template
from watcher.core.route import parse_rule, parse_template
from watcher.core.tags import TAGS

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


def _path(text: str) -> str:
    if not text.startswith("/") or "\0" in text:
        raise ValueError("must be an absolute path")
    return "/" + os.path.normpath(text).lstrip("/")  # normpath leaves two slashes in front


def _tag_of(keyword: str) -> int | None:
    if keyword in TAGS:
        return TAGS[keyword]
    from pydicom.datadict import tag_for_keyword  # noqa: PLC0415  a tenth of a second few need

    return tag_for_keyword(keyword)


def _rule(value: object) -> Rule | Template:
    if not isinstance(value, str):
        raise ValueError("must be a rule or a template, in quotes")  # noqa: TRY004  pydantic's word
    return parse_rule(value) if value.startswith("(") else parse_template(value, _tag_of)


Duration = Annotated[float, PlainValidator(read_duration)]
Auto = Annotated[float | None, PlainValidator(partial(read_duration_or, "auto"))]
Forever = Annotated[float | None, PlainValidator(partial(read_duration_or, "forever"))]
Size = Annotated[int, PlainValidator(read_size)]
Count = Annotated[int, Field(gt=0)]
Path = Annotated[str, AfterValidator(_path)]
Layout = Annotated[tuple[str, ...], PlainValidator(read_layout)]
Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[tuple[Text, ...], Field(strict=False)]  # an array of TOML is a list
Rules = Annotated[
    tuple[Annotated[Rule | Template, PlainValidator(_rule)], ...], Field(strict=False)
]
Allowed = Literal["study-uid-mismatch", "modality-changed", "study-elsewhere"]
Held = Literal["incomplete", "maybe-incomplete", "label-shared"]


class Table(BaseModel):
    """A table of the file; anything it does not name is refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Storage(Table):
    """`[storage]`."""

    root: Path | None = None
    prearchive: Path | None = None
    archive: Path | None = None
    quarantine: Path | None = None
    history: Path | None = None
    state: Path | None = None
    status: Path | None = None
    reserve: Size = 2**30


class Drop(Table):
    """`[[drop]]`."""

    path: Path = ""  # needed: `_drop_faults` says so, beside all the rest
    name: Annotated[str, AfterValidator(parse_name)] | None = None
    watch: Literal["auto", "native", "poll"] = "auto"
    rescan_interval: Duration = 30.0
    settle: Auto = None
    stuck_after: Duration = 900.0
    mode: Literal["gradual", "transactional"] = Field("gradual", alias="import")
    dest: Literal["prearchive", "archive"] = "prearchive"
    after: Literal["remove", "keep"] = "remove"
    strict: bool = False
    mount: bool = False
    project: str | None = None
    layout: Layout = ()
    ignore: Texts = ()
    inactivity: Duration | None = None
    receipts: bool = True
    contact: str = ""


class Session(Table):
    """`[session]`."""

    inactivity: Duration = 300.0
    max_open: Duration = 43200.0


class Project(Table):
    """`[projects.X]`."""

    aliases: Texts = ()
    auto_archive: bool = True
    overwrite: bool = False
    allow: Annotated[frozenset[Allowed], Field(strict=False)] = frozenset()
    hold: Annotated[frozenset[Held], Field(strict=False)] = frozenset()
    inactivity: Duration | None = None


class Identify(Table):
    """`[identify]`."""

    project: Rules = ()
    subject: Rules = ()
    session: Rules = ()


class Log(Table):
    """`[log]`."""

    file: Path | None = None
    level: Literal["debug", "info", "warning", "error"] = "info"
    identifiers: Literal["coded", "plain"] = "coded"
    rotate: Annotated[Size, Field(gt=0)] = 100 * 2**20
    keep: Annotated[int, Field(ge=0)] = 10
    heartbeat: Duration = 60.0


class Limits(Table):
    """`[limits]`."""

    entries: Count = 100_000
    bytes: Annotated[Size, Field(gt=0)] = 50 * 2**30
    ratio: Count = 200
    depth: Annotated[int, Field(gt=0, le=DEEPEST)] = 32


class Metrics(Table):
    """`[metrics]`."""

    listen: Annotated[str, AfterValidator(parse_address)] | None = None


class Retention(Table):
    """`[retention]`."""

    receipts: Forever = 30 * 86400.0
    history: Forever = None
    quarantine: Forever = None


class File(Table):
    """The whole file."""

    storage: Storage = Storage()
    drop: Annotated[tuple[Drop, ...], Field(strict=False)] = ()
    session: Session = Session()
    projects: dict[str, Project] = {}
    identify: Identify = Identify()
    log: Log = Log()
    limits: Limits = Limits()
    metrics: Metrics = Metrics()
    retention: Retention = Retention()


_TABLES: Final[Mapping[str | int, type[Table]]] = {
    "storage": Storage,
    "drop": Drop,
    "session": Session,
    "projects": Project,
    "identify": Identify,
    "log": Log,
    "limits": Limits,
    "metrics": Metrics,
    "retention": Retention,
}
_WANTED: Final[Mapping[str, str]] = {
    "int_type": "must be a whole number",
    "string_type": "must be text in quotes",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "frozen_set_type": "must be a list",
    "model_type": "must be a table",
    "dict_type": "must be a table",
    "greater_than": "must be more than 0",
    "less_than_equal": f"must not be more than {DEEPEST}",
    "greater_than_equal": "must not be negative",
    "string_too_short": "must not be empty",
}


def _advice(detail: "ErrorDetails") -> str:
    steps, context = detail["loc"], detail.get("ctx", {})
    if detail["type"] == "extra_forbidden":
        fields = (_TABLES[steps[0]] if len(steps) > 1 else File).model_fields
        names = [field.alias or name for name, field in fields.items()]
        return f"unknown key; {meant(str(steps[-1]), names)}"
    if detail["type"] == "literal_error":
        words = re.findall(r"'([^']+)'", context["expected"])
        return f"unknown word; {meant(str(detail['input']), words)}"
    if steps == ("drop",):
        return "each drop is headed [[drop]]"
    return str(context.get("error") or _WANTED.get(detail["type"], detail["msg"]))


def _without(raw: dict[str, Any], steps: tuple[int | str, ...]) -> None:
    """Takes out the innermost named value on the way to a fault."""
    owner, name, node = raw, steps[0], cast("Any", raw)
    for step in steps:
        if isinstance(node, dict):
            owner, name, node = node, step, node.get(step)
        elif isinstance(node, list):
            node = node[cast("int", step)]
    owner.pop(cast("str", name), None)


def checked(raw: dict[str, Any], faults: list[str]) -> File:
    """The file without what is faulty in itself, so that the rest can be compared as well."""
    try:
        return File.model_validate(raw)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            found = f"{where(detail['loc'])}: found {shown(detail['input'])}"
            faults.append(f"{found}; {_advice(detail)}")
            _without(raw, detail["loc"])
    return checked(raw, faults)
