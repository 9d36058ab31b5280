"""The picture of the installation as the log would tell it: identifiers coded (spec 12)."""

from collections.abc import Mapping
from typing import Any, Final

from watcher.core.coding import Coder

_LISTS: Final = ("stores", "conditions", "quarantine", "open_sessions")
_SIDES: Final = ("incoming", "archived")  # of a finding: values from headers, dates among them
_OURS: Final = ("project", "study")  # of these: coded only where they are somebody else's words
# Ours: a label that looks like a part of one must not code it.
_PLAIN: Final = ("id", "opened", "last_arrival", "due", "since", "set_aside")


def coded(document: Mapping[str, Any], coder: Coder) -> dict[str, Any]:
    """The survey with labels, subjects and paths coded, wherever they stand.

    Names of drops and stores stay, as do ids, counts and moments. Each row is coded as a line of
    the log is: what identifies in one of its fields is coded in its texts and commands as well.
    """
    return {
        **document,
        "unhealthy": coder.line({"text": document["unhealthy"]})["text"],
        "drops": [_drop(each, coder) for each in document["drops"]],
        **{name: [_row(each, coder) for each in document[name]] for name in _LISTS},
    }


def _row(row: Mapping[str, Any], coder: Coder) -> dict[str, Any]:
    kept = {name: row[name] for name in _PLAIN if name in row}
    if "code" in row:  # of the quarantine: its id is a folder's name, perhaps not one of ours
        kept |= {"id": coder.line({"entry": row["id"]})["entry"]}
    line: dict[str, Any] = {**coder.line(row)}
    if "findings" in row:
        pairs = zip(row["findings"], line["findings"], strict=True)
        kept["findings"] = [_finding(plain, told, coder) for plain, told in pairs]
    return {**line, **kept}


def _finding(plain: Mapping[str, Any], told: Mapping[str, Any], coder: Coder) -> Mapping[str, Any]:
    """`told` is coded but for what no field's name tells: everything on its sides is coded."""
    sides = {
        side: {
            name: told[side][name] if name in _OURS else _hidden(value, coder)
            for name, value in plain[side].items()
        }
        for side in _SIDES
        if side in plain
    }
    return {**told, **sides}


def _hidden(value: Any, coder: Coder) -> Any:
    if isinstance(value, list):
        return [_hidden(each, coder) for each in value]
    return coder.code(str(value)) if value else value


def _drop(drop: Mapping[str, Any], coder: Coder) -> dict[str, Any]:
    """Its name is a word of the configuration; a field `name` would be taken for a person's."""
    return {**drop, "path": coder.line({"path": drop["path"], "drop": drop["name"]})["path"]}
