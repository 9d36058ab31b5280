"""An HTML page read as HTML 5 has it, and a survey to make one of."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

MADE = "2026-11-22T09:33:02.123Z"
VOID = {"meta", "link"}
EMPTY = {"path", "circle", "rect", "line"}  # of SVG: these close themselves
PHRASING = {"span", "code", "svg", "time", "text"} | EMPTY
# what may stand in what; nothing here: phrasing only
CONTENT = {
    "": {"html"},
    "html": {"head", "body"},
    "head": {"meta", "title", "link", "style"},
    "body": {"header", "main", "footer"},
    "main": {"section"},
    "header": {"h1", "h3", "p", "span"},
    "section": {"h2", "p", "article", "details", "table", "figure"},
    "article": {"header", "dl", "ul", "p", "code"},
    "details": {"summary", "article", "table"},
    "dl": {"div"},
    "div": {"dt", "dd", "svg"},
    "ul": {"li"},
    "li": {"p", "table"},
    "table": {"caption", "thead", "tbody"},
    "thead": {"tr"},
    "tbody": {"tr"},
    "tr": {"th", "td"},
    "figure": {"div", "figcaption"},
    "footer": {"p"},
    "svg": {*EMPTY, "text"},
}
LOADING = {"src", "srcset", "href", "action", "data", "poster", "background", "xlink:href"}


class Page(HTMLParser):
    """Every element with its attributes and its text; fails on what HTML 5 does not allow."""

    def __init__(self, text):
        super().__init__()
        self.elements, self._open = [], []
        assert text.startswith("<!DOCTYPE html>\n"), text[:40]
        self.feed(text)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag, attrs):
        parent = self._open[-1]["tag"] if self._open else ""
        assert tag in CONTENT.get(parent, PHRASING), f"{tag} in {parent}"
        assert len(dict(attrs)) == len(attrs), attrs
        one = {"tag": tag, "attrs": dict(attrs), "text": "", "children": [], "parent": parent}
        self.elements.append(one)
        if self._open:
            self._open[-1]["children"].append(one)
        if tag not in VOID:
            self._open.append(one)

    def handle_startendtag(self, tag, attrs):
        assert tag in EMPTY, tag
        self.handle_starttag(tag, attrs)
        self._open.pop()

    def handle_endtag(self, tag):
        assert tag == self._open.pop()["tag"], tag

    def handle_data(self, data):
        for one in self._open:
            one["text"] += data

    def all(self, tag):
        """The elements of this name, in order."""
        return [each for each in self.elements if each["tag"] == tag]

    def one(self, tag):
        """The only element of this name."""
        (found,) = self.all(tag)
        return found

    @property
    def text(self):
        """What a reader sees, without the head."""
        return " ".join(self.one("body")["text"].split())

    def table(self, caption):
        """The rows of the table whose caption begins so, each by the names of its columns."""
        (found,) = [
            each for each in self.all("table") if each["children"][0]["text"].startswith(caption)
        ]
        _, head, body = found["children"]
        names = [each["text"] for each in head["children"][0]["children"]]
        return [
            dict(zip(names, [each["text"].strip() for each in row["children"]], strict=True))
            for row in body["children"]
        ]


def hour(back):
    """The hour so many before the page's, as ISO 8601."""
    at = datetime.fromisoformat(MADE).astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return (at - timedelta(hours=back)).isoformat().replace("+00:00", "Z")


def session(number, status, **values):
    """An open session of a survey."""
    return {
        "id": f"20261122_091425{number:03d}",
        "status": status,
        "project": "ROUTINE",
        "subject": "Doe_Jane",
        "label": f"JANE_{number}",
        "study": "1.2.3",
        "opened": "2026-11-22T08:00:00.000Z",
        "last_arrival": "2026-11-22T09:30:00.000Z",
        "scans": 2,
        "files": 412,
        "bytes": 2**27,
        "error": "",
        "findings": [],
        "more_findings": 0,
        "resolve": [],
        "due": None,
        **values,
    }


def condition(event, key, **values):
    """An open condition of a survey."""
    return {
        "event": event,
        "key": key,
        "since": "2026-11-22T07:00:00.000Z",
        "text": f"text of {event}",
        "hint": "mount the share",
        **values,
    }


SAME = {"PatientID": "same", "PatientName": "differs", "PatientBirthDate": "missing"}
CONFLICT = {
    "code": "study-uid-mismatch",
    "severity": "CONFLICT",
    "text": "Invalid modification",
    "incoming": {
        "project": "ROUTINE",
        "label": "JANE_1",
        "study": "1.2.4",
        "PatientID": "S1",
        "PatientName": "DOE^JANE",
        "PatientBirthDate": "",
    },
    "archived": {
        "project": "ROUTINE",
        "label": "JANE_1",
        "study": "1.2.3",
        "PatientID": "S1",
        "PatientName": "ROE^JANE",
        "PatientBirthDate": "1970-01-01",
    },
    "evidence": {**SAME, "minutes_apart": 14, "looks_like": "two people under one label?"},
}
"""A finding with both its sides."""


def entry(number, **values):
    """An open entry of a survey's quarantine."""
    return {
        "id": f"{number:012x}",
        "drop": "mri",
        "code": "not-dicom",
        "files": 3,
        "path": f"notes-{number}.pdf",
        "text": "no DICOM file",
        "place": "mri/2026-11-22",
        "set_aside": "2026-11-21T07:00:00.000Z",
        "open": True,
        **values,
    }


def drop(name, **values):
    """A drop of a survey."""
    return {
        "name": name,
        "path": f"/srv/drop/{name}",
        "import": "gradual",
        "dest": "prearchive",
        "contact": "",
        "available": True,
        "watch": "native",
        "waiting": 0,
        "oldest_pending": 0,
        "filed": 0,
        "duplicates": 0,
        "quarantined": 0,
        "units": 0,
        "landing": False,
        **values,
    }


def store(kind, **values):
    """A store of a survey."""
    space = {"free": 31 * 2**30, "total": 100 * 2**30}
    return {"store": kind, "path": f"/srv/imaging/{kind}", "available": True, **space, **values}


def survey(**values):
    """A survey of an installation where all is well, but for the values given."""
    raised = [each["event"] for each in values.get("conditions", [])]
    return {
        "version": "0.5.0",
        "host": "imaging3",
        "made": MADE,
        "every": 60.0,
        "contact": "",
        "running": True,
        "has_run": True,
        "healthy": True,
        "unhealthy": "",
        "heartbeat": MADE,
        "started": "2026-11-22T06:00:00.000Z",
        "lost": 0,
        "drops": [drop("mri")],
        "stores": [store("archive")],
        "sessions": {},
        "ahead": 0,
        "conditions": [],
        "more_conditions": 0,
        "open_conditions": dict(Counter(raised)),
        "quarantine": [],
        "more_quarantine": 0,
        "open_sessions": [],
        "more_sessions": 0,
        "oldest": {},
        "rates": [],
        **values,
    }


def troubled():
    """A survey with something in every section."""
    wrong = {"code": "study-uid-mismatch", "severity": "CONFLICT", "text": "Invalid modification"}
    told = {"code": "session-exists", "severity": "INFO", "text": "archived already"}
    waiting = session(1, "CONFLICT", findings=[wrong, told], resolve=["watcher show 1"])
    return survey(
        contact="imaging desk, 4711",
        drops=[drop("mri", waiting=12, oldest_pending=340.0), drop("ct", available=False)],
        stores=[store("archive"), store("history", available=False, free=None, total=None)],
        sessions={"RECEIVING": 1, "CONFLICT": 1, "ERROR": 1, "ARCHIVED": 1204},
        conditions=[
            condition("session.conflict", f"session/{waiting['id']}"),
            condition(
                "file.stuck",
                "file/mri/1",
                fields={"drop": "mri", "path": "a/1.dcm", "text": "cut off"},
            ),
            condition("drop.unavailable", "drop/ct", fields={"drop": "ct"}),
        ],
        quarantine=[entry(1)],
        open_sessions=[
            waiting,
            session(2, "ERROR", error="read-only file system", resolve=["watcher archive 2"]),
            session(3, "RECEIVING", project=None, due="2026-11-22T09:38:00.000Z"),
        ],
        oldest={"RECEIVING": 5400.0, "CONFLICT": 5400.0, "ERROR": 59.0},
        rates=[[hour(30), 7], [hour(0), 1200]],
    )
