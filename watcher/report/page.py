"""The status page: one static HTML file that loads nothing and runs nothing (spec 12).

Every value is written by one hand, `_shown`: printable, then escaped. Names and labels are hostile.
"""

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime, tzinfo
from functools import cache
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from watcher.core.notation import format_duration
from watcher.report import board, overview
from watcher.report.chart import TALL, chart
from watcher.report.standing import STALLED
from watcher.report.text import brief, printable

CARDS: Final = 20  # sessions whose reasons are open to read at once; the rest is folded
LONG: Final = 1000  # characters of a text


def html(document: Mapping[str, Any], *, is_coded: bool, zone: tzinfo | None = None) -> str:
    """The page of a survey, whose identifiers are coded already if they are to be.

    It is stale after three heartbeats; the last page of a run says that nothing is watched.
    `zone` None: this machine's.
    """
    stopped = not document["running"]
    times = overview.Times(datetime.fromisoformat(document["made"]), zone)
    title, tone = board.headline(document)
    return _template().render(
        title=f"The watcher is stopped; {title[:1].lower()}{title[1:]}" if stopped else title,
        tone="warn" if stopped and tone in {"good", "calm"} else tone,
        host=document["host"],
        version=document["version"],
        contact=document["contact"],
        lost=document["lost"] or 0,
        made=times.made.astimezone(zone),
        made_utc=document["made"],
        stale="" if stopped else format_duration(STALLED * document["every"]),
        is_coded=is_coded,
        open_cards=CARDS,
        cards=board.cards(document, times),
        conditions=board.conditions(document, times),
        ready=board.ready(document),
        drops=overview.drops(document),
        statuses=overview.statuses(document),
        sessions=overview.sessions(document, times),
        chart=chart(document["rates"], times.made, zone),
        tall=TALL,
        quarantine=overview.quarantine(document, times),
        stores=overview.stores(document),
    )


def _shown(value: object) -> object:
    if value is None or isinstance(value, Markup):
        return value or ""
    return printable(brief(value, LONG, 0))


@cache
def _template() -> Template:
    """The template, with its style sheet and the hash that a browser holds it to."""
    loader = PackageLoader("watcher.report")
    pages = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, _, _ = loader.get_source(pages, "status.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    pages.globals |= {"style": Markup(style), "style_hash": digest, "tone_of": board.tone}  # noqa: S704  our own file
    return pages.get_template("status.html")
