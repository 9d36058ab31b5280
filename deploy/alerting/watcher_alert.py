#!/usr/bin/python3
"""Lines of the watcher's log on standard input become alerts in Alertmanager: for rsyslog.

A line that says `error` raises an alert, a later line with the same `key` ends it. Each alert is
posted again at every heartbeat, as Alertmanager forgets what nobody repeats; `--state` keeps what
is open over a restart. When heartbeats stop, that is an alert too, and what was open stays so. A
line is confirmed (`OK`) once Alertmanager has taken what it asks for, so rsyslog keeps it and sends
it again until then. Complaints go to standard error. Needs nothing but Python 3.11.
"""

import argparse
import json
import os
import re
import select
import socket
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from http.client import HTTPException

RANKS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
BEAT = "daemon.heartbeat"
LABELS = ("who", "session", "drop")
TEXTS = ("text", "error", "path", "store")
ONCE = timedelta(hours=1)  # an event that no line ends is an alert for so long
ECHO = timedelta(seconds=150)  # until metrics, which are told 80 s later, have it too
MISSES = 2  # heartbeats that no longer name an open alert's event: its end was missed
WORD = re.compile(
    r'"(timestamp|level|event|message|key|session|drop|who|hint)": ("(?:[^"\\]|\\.)*")'
)


def parsed(text: str) -> dict:
    """The line; of one that was cut off (rsyslog's maxMessageSize) what its beginning says."""
    try:
        line = json.loads(text)
    except ValueError:
        line = {name: json.loads(value) for name, value in reversed(WORD.findall(text))}
    return line if isinstance(line, dict) else {}


def alert_name(event: str) -> str:
    """`session.conflict`: WatcherSessionConflict, as in the rules for Prometheus."""
    return "Watcher" + "".join(part.title() for part in re.split(r"\W+", event))


def described(line: dict) -> str:
    """What the line says beside its message, as sentences."""
    findings = [each for each in line.get("findings") or () if isinstance(each, dict)]
    said = [f"{each.get('code')}: {each.get('text')}" for each in findings]
    said += [f"{name}: {line[name]}" for name in TEXTS if line.get(name)]
    return "\n".join(said)


def alert_of(line: dict, host: str) -> dict:
    """The alert that a line raises. Its labels tell it from others: nothing in them may move."""
    event = line["event"]
    summary = " ".join(str(line[name]) for name in ("message", "session") if line.get(name))
    return {
        "labels": {
            "alertname": alert_name(event),
            "event": event,
            "key": str(line.get("key") or event),
            "severity": line["level"],
            "service": "watcher",
            "source": "log",
            "host": host,
            **{name: str(line[name]) for name in LABELS if line.get(name)},
        },
        "annotations": {
            "summary": summary,
            "description": described(line),
            "command": str(line.get("hint") or f"watcher explain {event}"),
        },
        "startsAt": line["timestamp"],
    }


def silence(host: str, seconds: float) -> dict:
    """The alert that heartbeats have stopped."""
    return alert_of(
        {
            "timestamp": datetime.now(UTC).isoformat(),
            "event": BEAT,
            "level": "error",
            "who": "admin",
            "message": f"The watcher has said nothing for {seconds:.0f} s",
            "hint": "systemctl status watcher; watcher status --health",
        },
        host,
    )


def told(alert: dict) -> dict:
    """An alert for nobody: while it lasts, metrics do not tell again of what has just ended."""
    kept = {name: alert["labels"][name] for name in ("event", "service", "source", "host")}
    labels = {**kept, "alertname": "WatcherLogTold", "severity": "none", "who": "nobody"}
    return {"labels": labels, "startsAt": datetime.now(UTC).isoformat()}


class Bridge:
    """What is open, and how it gets to Alertmanager. ValueError where its address is none."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.request = urllib.request.Request(  # noqa: S310  the administrator's own address
            f"{options.alertmanager.rstrip('/')}/api/v2/alerts",
            headers={"Content-Type": "application/json"},
        )
        self.least = RANKS[options.level]
        self.open: dict[str, dict] = self._kept()
        self.missed: dict[str, int] = {}
        self.silent_at = time.monotonic() + options.silent

    def _kept(self) -> dict[str, dict]:
        try:
            with open(self.options.state, encoding="utf-8") as file:
                return json.load(file)
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:  # what is raised from now on is kept
            complain(f"{self.options.state}: {error}")
            return {}

    def _keep(self) -> None:
        new = f"{self.options.state}.new"
        try:
            with open(new, "w", encoding="utf-8") as file:
                json.dump(self.open, file)
            os.replace(new, self.options.state)
        except OSError as error:  # a full disk holds up no alert: it may be what it tells of
            complain(f"{self.options.state}: {error}")

    def take(self, line: dict) -> None:
        """Do what a line asks for; OSError where Alertmanager can't be reached."""
        event, key = line.get("event"), line.get("key")
        if event == BEAT:
            self._beat(line)
        elif event and "timestamp" in line:
            self._ended(key, event)
            if RANKS.get(line.get("level"), 0) >= self.least:
                self._raised(line, key)

    def _raised(self, line: dict, key: str | None) -> None:
        alert = alert_of(line, self.options.host)
        self._post([alert], self._hold() if key else ONCE)
        if key:
            self.open[key] = alert
            self._keep()

    def _ended(self, key: str | None, event: str) -> None:
        alert = self.open.get(key) if key else None
        if alert and alert["labels"]["event"] != event:
            self._forget([key])

    def _forget(self, keys: list) -> None:
        if keys:
            over = [self.open[key] for key in keys]
            self._post(list(map(told, over)), ECHO)
            self._post(over, timedelta(0))
            self.open = {key: each for key, each in self.open.items() if key not in keys}
            self._keep()

    def _beat(self, line: dict) -> None:
        self.silent_at = time.monotonic() + self.options.silent
        self._forget([key for key in (BEAT,) if key in self.open])
        named = line.get("conditions")
        if isinstance(named, list):
            self._forget(self._missed(named))
        self._post(list(self.open.values()), self._hold())

    def _missed(self, named: list) -> list[str]:
        """Open alerts whose end was never read: the daemon itself does not know them any more."""
        gone = [key for key, each in self.open.items() if each["labels"]["event"] not in named]
        self.missed = {key: self.missed.get(key, 0) + 1 for key in gone}
        return [key for key, times in self.missed.items() if times >= MISSES]

    def look(self) -> None:
        """Raise the alert that the watcher is silent, when it is; repeat it, and what is open."""
        if time.monotonic() >= self.silent_at:
            self.silent_at = time.monotonic() + self.options.silent
            self.open.setdefault(BEAT, silence(self.options.host, self.options.silent))
            self._post(list(self.open.values()), self._hold())
            self._keep()

    def _hold(self) -> timedelta:
        return timedelta(seconds=self.options.hold)

    def _post(self, alerts: list[dict], last: timedelta) -> None:
        if not alerts:
            return
        until = (datetime.now(UTC) + last).isoformat()
        said = json.dumps([{**each, "endsAt": until} for each in alerts]).encode()
        with urllib.request.urlopen(  # noqa: S310  as above
            self.request, said, timeout=self.options.timeout
        ) as answer:
            answer.read()


def say(text: str) -> None:
    """Tell rsyslog."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def complain(text: str) -> None:
    """Tell whoever looks into the file that rsyslog keeps of standard error."""
    sys.stderr.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} {text[:1000]}\n")
    sys.stderr.flush()


def confirmed(bridge: Bridge, text: str) -> str:
    """`OK`, or why the line has to be sent again."""
    try:
        bridge.take(parsed(text))
    except urllib.error.HTTPError as error:
        if error.code >= 500:
            return f"Alertmanager: {error}"
        complain(f"{error}: {text}")  # it will never be taken: held back, it would hold up the rest
    except (OSError, HTTPException) as error:
        return f"Alertmanager: {error}"
    except Exception as error:  # the border round one line: a strange one holds up no other
        complain(f"{type(error).__name__}: {error}: {text}")
    return "OK"


def serve(bridge: Bridge) -> None:
    """Confirm line after line until standard input ends."""
    rest = b""
    say("OK")
    while True:
        if not select.select([0], [], [], bridge.options.look)[0]:
            try:
                bridge.look()
            except (OSError, HTTPException) as error:  # tried again at the next look
                complain(f"Alertmanager: {error}")
            continue
        data = os.read(0, 1 << 16)
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        for each in lines:
            say(confirmed(bridge, each.decode("utf-8", "replace")))


def main() -> None:
    """Read the command line, then serve."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--alertmanager", default="http://127.0.0.1:9093", metavar="URL")
    parser.add_argument("--state", required=True, metavar="FILE", help="keeps what is open")
    parser.add_argument("--level", choices=("warning", "error"), default="error")
    parser.add_argument("--host", default=socket.gethostname(), help="the label `host`")
    parser.add_argument("--silent", type=float, default=300.0, metavar="SECONDS")
    parser.add_argument("--hold", type=float, default=86400.0, metavar="SECONDS")
    parser.add_argument("--look", type=float, default=5.0, metavar="SECONDS")
    parser.add_argument("--timeout", type=float, default=10.0, metavar="SECONDS", help="of a post")
    serve(Bridge(parser.parse_args()))


if __name__ == "__main__":
    main()
