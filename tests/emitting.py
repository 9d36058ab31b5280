"""Where the source says events, and with which fields, read from its syntax."""

import ast
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import watcher
from watcher.core.fields import SESSION

ROOT = Path(watcher.__file__).parent
SAYING = {"emit", "log", "raise", "clear", "tell", "end", "assume", "say"}
NAME = re.compile(r"[a-z]+\.[a-z]+")
CALL = re.compile(rf"\b({'|'.join(SAYING)})_?\(")  # modules without one cost no time


@dataclass
class Site:
    """One call: the events it may say, the fields it gives, what could not be read of them."""

    where: str
    events: set
    fields: set = field(default_factory=set)
    unread: set = field(default_factory=set)


@cache
def sites():
    """Every one in the package."""
    sources = [(path, path.read_text()) for path in sorted(ROOT.rglob("*.py"))]
    return [
        each
        for path, source in sources
        if CALL.search(source)
        for each in sites_in(source, str(path.relative_to(ROOT)))
    ]


def sites_in(source, name="given"):
    """Those of one module. A value is looked up in the function round it, then in the module."""
    module = ast.parse(source)
    scopes = [node for node in ast.walk(module) if isinstance(node, ast.FunctionDef | ast.Module)]
    scopes += [node for node in ast.walk(module) if isinstance(node, ast.AsyncFunctionDef)]
    found = {}
    for scope in scopes:  # the innermost function comes last, and counts
        for node in ast.walk(scope):
            if isinstance(node, ast.Call) and _says(node):
                found[node] = scope
    return [_site(node, scope, module, name) for node, scope in found.items()]


def _says(node):
    called = getattr(node.func, "attr", getattr(node.func, "id", "")).strip("_")
    return called in SAYING and bool(node.args) and bool(_names(node.args[0]))


def _names(node):
    """Events in an expression: a choice of two is looked into, and so is a name put together."""
    if isinstance(node, ast.JoinedStr):
        fixed = "".join(getattr(part, "value", "") for part in node.values[:1])
        return {fixed + "*"} if re.fullmatch(r"[a-z]+\.", str(fixed)) else set()
    texts = (getattr(each, "value", None) for each in ast.walk(node))
    return {text for text in texts if isinstance(text, str) and NAME.fullmatch(text)}


def _site(node, scope, module, name):
    site = Site(f"{name}:{node.lineno}", _names(node.args[0]))
    for keyword in node.keywords:
        if keyword.arg:
            site.fields.add(keyword.arg)
        else:
            _read(keyword.value, scope, module, site)
    return site


def _read(value, scope, module, site):
    """The fields of a mapping that is given."""
    if isinstance(value, ast.Dict):
        _read_dict(value, scope, module, site)
    elif isinstance(value, ast.IfExp):
        _read(value.body, scope, module, site)
        _read(value.orelse, scope, module, site)
    elif isinstance(value, ast.Call) and getattr(value.func, "attr", "") == "said":
        site.fields |= {"session", *SESSION}
        _read_keywords(value, scope, module, site)
    elif isinstance(value, ast.Name) and (given := _given(value.id, scope)):
        for each in given:
            _read(each, scope, module, site) if isinstance(each, ast.AST) else site.fields.add(each)
    elif isinstance(value, ast.Call) and (body := _returned(value, module)):
        for each in body:
            _read(each, scope, module, site)
    else:
        site.unread.add(ast.unparse(value))


def _read_dict(value, scope, module, site):
    for key, each in zip(value.keys, value.values, strict=True):
        if isinstance(key, ast.Constant):
            site.fields.add(key.value)
        elif key is None:
            _read(each, scope, module, site)
        else:
            site.unread.add(ast.unparse(value))


def _read_keywords(call, scope, module, site):
    for keyword in call.keywords:
        if keyword.arg:
            site.fields.add(keyword.arg)
        else:
            _read(keyword.value, scope, module, site)


def _given(name, scope):
    """What a name is set to in a function: expressions, and the keys that are put into it."""
    found = []
    for node in ast.walk(scope):
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        if not isinstance(node, ast.Assign | ast.AnnAssign):
            continue
        for target in targets:
            found += _set(target, node.value, name)
    return found


def _set(target, value, name):
    if isinstance(target, ast.Name) and target.id == name:
        return [value]
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        pairs = zip(target.elts, value.elts, strict=True)
        return [each for one, given in pairs for each in _set(one, given, name)]
    if isinstance(target, ast.Subscript) and getattr(target.value, "id", "") == name:
        return [target.slice.value]
    return []


def _returned(call, module):
    """What a function of the same module gives, where it gives a mapping as it is written."""
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    return [
        each.value
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef) and node.name == name
        for each in ast.walk(node)
        if isinstance(each, ast.Return) and isinstance(each.value, ast.Dict)
    ]
