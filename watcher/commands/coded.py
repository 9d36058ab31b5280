"""Coded values of the log in place of what they stand for: a hint runs as it was printed (spec 12).

`watcher show PROJ1/~1a2b3c4d` means the session whose label the log calls so.
"""

import os
import shlex
from collections.abc import Iterable, Iterator

from watcher.core.coding import CODED, Coder
from watcher.core.errors import UnknownSessionError
from watcher.core.session import Finding, Status
from watcher.io.lookup import Lookup
from watcher.io.sinks import load_key
from watcher.report.matching import texts_of
from watcher.stages.parts import Parts


def plain(parts: Parts, text: str, *more: str) -> str:
    """The text with every coded value in it replaced by what it stands for.

    Looked for among the labels, subjects and commands that ledger, index and findings know, and
    `more`. UnknownSessionError (exit 2) where nothing fits, or several do.
    """
    codes = dict.fromkeys(CODED.findall(text))
    if not codes:
        return text
    coder = Coder(load_key(os.path.join(parts.storage.stores.root, "log.key")))
    candidates = {*known(parts), *more}
    for code in codes:
        text = text.replace(
            code, _one(code, [each for each in candidates if coder.matches(code, each)])
        )
    return text


def _one(code: str, found: list[str]) -> str:
    if not found:
        text = f"no label, subject or file that is known here is coded {code}"
        raise UnknownSessionError(text, hint=f"watcher find {code}")
    if len(found) > 1:
        raise UnknownSessionError(f"{code} stands for {' and '.join(found)}", hint="give the id")
    return found[0]


def known(parts: Parts) -> Iterator[str]:
    """Everything of which a code may stand in a command that was printed."""
    for session in parts.ledger.sessions(tuple(Status)):
        yield from (session.label, session.subject, session.shown, session.project or "")
        yield from _found(session.findings)
    for shelf in parts.registry.shelved():
        home = f"{shelf.project}/{shelf.label}"
        yield from (shelf.label, shelf.subject, home, shelf.project)
    for raised in Lookup(parts.ledger).raised():
        yield from _words([str(raised.fields.get("hint", ""))])


def _found(findings: Iterable[Finding]) -> Iterator[str]:
    for finding in findings:
        yield from texts_of(finding.incoming)
        yield from texts_of(finding.archived)
        yield from _words(finding.resolve)


def _words(commands: Iterable[str]) -> Iterator[str]:
    """What commands are made of; prose with a lone quote is no command."""
    for command in commands:
        try:
            yield from shlex.split(command)
        except ValueError:
            continue
