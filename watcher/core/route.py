"""Header and rules to project, subject and session label: which session a file belongs to.

Project, subject, label and auto-archive are found independently; for each, the first hit wins
(XNAT's identification chain, with the drop, its layout and the configured rules before it).
`origins` of the answer say which rule gave what.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from watcher.core.file import Header
from watcher.core.names import label
from watcher.core.policy import Drop, Identify, Projects, Rule, Template
from watcher.core.session import Identity, SessionKey

COMMENTS: Final = ("PatientComments", "StudyComments", "AdditionalPatientHistory")
PLACEHOLDERS: Final = frozenset({"{project}", "{subject}", "{session}", "{timestamp}"})
NO_MATCH: Final = "no match"  # what origins say of a layout that a path does not fit
RULE_LENGTH: Final = 64  # XNAT cuts what a rule without replacement finds

_RULE: Final = re.compile(
    r"\((?P<tag>[0-9A-Fa-f]{4},[0-9A-Fa-f]{4})\):(?P<pattern>.+?)(?::(?P<group>[0-9]+))?"
    r"(?: t:(?P<target>.*) r:(?P<replacement>.*))?"
)
_KEYWORD: Final = re.compile(r"\{([^{}]*)\}")
# Java's replacement text: `$1` a group, `\x` the character itself.
_REFERENCE: Final = re.compile(r"\$([0-9])|\\(.)|([$\\])", re.DOTALL)

_ANSWERS: Final = {"t": True, "true": True, "f": False, "false": False}
_Hit = tuple[str, str]  # what was found, and its origin


def identify(
    header: Header, *, drop: Drop, path: bytes, identify: Identify, projects: Projects
) -> Identity:
    """Where a file belongs. `path` is relative to the drop. Never fails: each chain has an end."""
    named = _named_by_layout(drop.layout, path)
    places = named or {}
    origins: dict[str, str] = {"layout": NO_MATCH} if named is None else {}
    if "timestamp" in places:
        origins["timestamp"] = places["timestamp"]
    project, origins["project"] = _project(header, drop, places, identify, projects)
    subject, origins["subject"] = _label(
        places.get("subject"), _hits(header, identify.subject, "Subject", "PatientName"), "unknown"
    )
    session, origins["session"] = _label(
        places.get("session"),
        _hits(header, identify.session, "Session", "PatientID"),
        "dicom_upload",
    )
    auto, origins["auto_archive"] = _auto_archive(header)
    return Identity(SessionKey(project, header.study, session), subject, auto, origins)


def _project(
    header: Header, drop: Drop, places: Mapping[str, str], rules: Identify, projects: Projects
) -> tuple[str | None, str]:
    """A known project, and who named it. A layout that names another ends the chain."""
    if drop.project is not None:
        known = projects.find(drop.project)
        return (known.id if known else drop.project), "drop"
    if "project" in places:
        known = projects.find(places["project"])
        return (known.id if known else None), "layout"
    tail = ("StudyDescription", "AccessionNumber")
    for value, origin in _hits(header, rules.project, "Project", *tail):
        if known := projects.find(value):
            return known.id, origin
    return None, "default"


def _label(place: str | None, hits: Iterator[_Hit], default: str) -> _Hit:
    if place is not None:
        return label(place), "layout"
    value, origin = next(hits, (default, "default"))
    return label(value), origin


def _auto_archive(header: Header) -> tuple[bool | None, str]:
    for keyword in COMMENTS:
        for value in _assigned("AA", header[keyword]):
            if (answer := _ANSWERS.get(value.lower())) is not None:
                return answer, keyword
    return None, "project"


def _hits(
    header: Header, rules: tuple[Rule | Template, ...], name: str, *tail: str
) -> Iterator[_Hit]:
    """Every candidate in order: rules, assignments in the comments, whole attributes."""
    for rule in rules:
        if (value := _apply(rule, header)).strip():
            yield value, _origin(rule)
    for keyword in COMMENTS:
        for value in _assigned(name, header[keyword]):
            yield value, keyword
    for keyword in tail:
        if header[keyword].strip():
            yield header[keyword].strip(), keyword


def _assigned(name: str, text: str) -> Iterator[str]:
    """The values of `name: value` in a text, empty ones left out (XNAT's ContainedAssignment).

    Unlike XNAT's, on any line. A value that goes on with another character is no assignment.
    """
    if ":" not in text:
        return
    blank = r"[^\S\r\n]*"
    assignment = rf"(?<![^\s,;])(?i:{name}){blank}:{blank}([A-Za-z0-9_-]*)(?![^\s,;])"
    yield from filter(None, re.findall(assignment, text))


def _named_by_layout(layout: tuple[str, ...], path: bytes) -> dict[str, str] | None:
    """What the leading directories of a path name; None where they do not fit the layout."""
    folders = path.split(b"/")[:-1]
    if len(folders) < len(layout):
        return None
    named: dict[str, str] = {}
    for part, folder in zip(layout, folders, strict=False):
        name = folder.decode("utf-8", "surrogateescape")
        if part in PLACEHOLDERS:
            named[part[1:-1]] = name
        elif part not in {"*", name}:
            return None
    return named


def _origin(rule: Rule | Template) -> str:
    if isinstance(rule, Template):
        return f"template {rule.text}"
    return f"rule ({rule.tag >> 16:04X},{rule.tag & 0xFFFF:04X})"


def _apply(rule: Rule | Template, header: Header) -> str:
    """What a rule makes of a header; empty where it does not fit."""
    if isinstance(rule, Template):
        return _fill(rule, header)
    # re.ASCII: XNAT's rules are Java's, where \w and \d are ASCII.
    match = re.fullmatch(rule.pattern, header.values.get(rule.tag, ""), re.ASCII)
    value = (match and match[rule.group]) or ""
    if rule.target is None or rule.replacement is None:
        return value[:RULE_LENGTH]
    replacement = rule.replacement
    return re.sub(rule.target, lambda found: _expand(replacement, found), value, flags=re.ASCII)


def _fill(template: Template, header: Header) -> str:
    values = {word: header.values.get(tag, "").strip() for word, tag in template.tags.items()}
    if not all(values.values()):
        return ""
    return _KEYWORD.sub(lambda word: values[word[1]], template.text)


def _expand(replacement: str, found: re.Match[str]) -> str:
    """Java's replacement text filled from a match."""
    return _REFERENCE.sub(
        lambda mark: (found[int(mark[1])] or "") if mark[1] else mark[2], replacement
    )


def parse_rule(text: str) -> Rule:
    """One of XNAT's routing rules, `(gggg,eeee):regex[:group][ t:target r:replacement]`.

    The regex must match the whole text; group 1 counts unless another is named. Replacements are
    Java's: `$1` is a group, a backslash quotes. ValueError says in one sentence what is wrong.
    """
    parts = _RULE.fullmatch(text.strip())
    if parts is None:
        raise ValueError(
            "A rule is written `(gggg,eeee):regex[:group][ t:target r:replacement]` "
            "with a DICOM tag of four and four hex digits."
        )
    rule = Rule(
        tag=int(parts["tag"].replace(",", ""), 16),
        pattern=parts["pattern"],
        group=int(parts["group"] or 1),
        target=parts["target"],
        replacement=parts["replacement"],
    )
    if rule.group > _compile(rule.pattern).groups:
        raise ValueError(f"The regular expression `{rule.pattern}` has no group {rule.group}.")
    if rule.target is not None and rule.replacement is not None:
        _check_replacement(rule.target, rule.replacement)
    return rule


def _compile(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern, re.ASCII)
    except (re.error, OverflowError) as error:
        raise ValueError(f"`{pattern}` is no regular expression: {error}.") from error


def _check_replacement(target: str, replacement: str) -> None:
    groups = _compile(target).groups
    for mark in _REFERENCE.finditer(replacement):
        if mark[3]:
            raise ValueError(f"`{mark[3]}` in the replacement `{replacement}` wants a backslash.")
        if mark[1] and int(mark[1]) > groups:
            raise ValueError(f"The target `{target}` has no group {mark[1]}.")


def parse_template(text: str, tag_of: Callable[[str], int | None]) -> Template:
    """A template such as `{PatientID}_{StudyDate}`; `tag_of` knows the DICOM keywords.

    ValueError says in one sentence what is wrong.
    """
    words = _KEYWORD.findall(text)
    if set("{}") & set(_KEYWORD.sub("", text)):
        raise ValueError(f"The template `{text}` has a brace without its partner.")
    if not words:
        raise ValueError(f"The template `{text}` names no DICOM keyword in braces.")
    tags: dict[str, int] = {}
    for word in words:
        tag = tag_of(word)
        if tag is None:
            raise ValueError(f"`{word}` in the template `{text}` is no DICOM keyword.")
        tags[word] = tag
    return Template(text, tags)
