"""Alerting, end to end: a file is dropped, somebody is told, it is settled, they are told."""

import contextlib
import json
import random
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from datetime import UTC, datetime
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer

import pytest
from makers import make_dicom
from world import World, own_host, until

ALERTING = Path(__file__).parents[2] / "deploy" / "alerting"
PROGRAM = ALERTING / "watcher_alert.py"
STUDY_TEAM, ADMIN = "study-team@example.org", "admin@example.org"
LINE = {
    "timestamp": "2026-06-19T09:14:25.123Z",
    "level": "error",
    "event": "session.conflict",
    "message": "Session upload failed",
    "key": "session/1",
    "session": "1",
    "who": "data",
    "hint": "watcher show 1",
}
END = {"timestamp": "2026-06-19T09:15:25.123Z", "level": "info", "event": "session.settled"}
BEAT = {"timestamp": "2026-06-19T09:16:25.123Z", "level": "info", "event": "daemon.heartbeat"}

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(900)]


def needed(name):
    """A program of Debian's; the test is skipped where there is none."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    return found or pytest.skip(f"there is no {name}: apt-get install {PACKAGES[name]}")


DAY = 86400  # seconds of silence that these tests, however slow, do not reach
RANDOM = random.SystemRandom()  # other workers of this run have the same seed
PACKAGES = {
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
    "rsyslogd": "rsyslog",
}


def asked(url, data=None):
    """What a server answers; nothing while it does not."""
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60.0) as answer:
            return answer.read() or b"{}"
    except (OSError, HTTPException):  # a refusal (HTTPError) as well
        return b""


def free_ports(host, count):
    """Ports that nobody has there, below those that the kernel gives to whoever asks for any."""
    found = set()
    while len(found) < count:
        port = RANDOM.randrange(10_000, 32_000)
        with socket.socket() as tried, contextlib.suppress(OSError):
            tried.bind((host, port))
            found.add(port)
    return found


class Nameless(ThreadingHTTPServer):
    """One that asks no name server what its address is called."""

    server_bind = TCPServer.server_bind


class People:
    """Whoever Alertmanager writes to: each message, with the time it came."""

    def __init__(self, host, port):
        self.told = []
        people = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                people.told.append((time.time(), self.path.strip("/"), said))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                """Nothing: what was told is kept."""

        self._server = Nameless((host, port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def told_of(self, whom, name, status):
        """When they were told of the alert with that name and status, and the alert; or nothing."""
        return [
            (at, alert)
            for at, who, said in list(self.told)
            for alert in said["alerts"]
            if (whom, name, status) == (who, alert["labels"]["alertname"], alert["status"])
        ]

    def wait_for(self, *words):
        return until(lambda: self.told_of(*words), bool)[-1]

    def wait_for_the_end(self, whom, name):
        """When they were told that it is over, and of no other since: a missed scrape ends it."""

        def last():
            told = (self.told_of(whom, name, status) for status in ("firing", "resolved"))
            return [max((at for at, _ in each), default=0.0) for each in told]

        return until(last, lambda found: found[0] < found[1])[1]

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Servers:
    """Debian's programs with the shipped configuration, on an address of this test's own."""

    def __init__(self, base):
        self.base, host = base, own_host()
        port, *others = free_ports(host, 4)
        self.metrics, self._alertmanager, self._prometheus = (f"{host}:{each}" for each in others)
        self.alertmanager = f"http://{self._alertmanager}"
        self._messages = f"http://{host}:{port}"
        self.people = People(host, port)
        self._running = []

    def start(self, *words):
        """A program that ends with the test, and what it said in a file."""
        with open(self.base / f"{Path(words[0]).name}.log", "ab") as log:
            process = subprocess.Popen(words, stdout=log, stderr=log, cwd=self.base)
        self._running.append(process)
        return process

    def close(self):
        for process in reversed(self._running):
            ended(process)
        self.people.close()

    def start_alertmanager(self):
        """The shipped routes; messages are posted where mails would be sent."""
        text = (ALERTING / "alertmanager.yml").read_text()
        text = re.sub(
            r"email_configs:\n      - to: (\S+)",
            rf"webhook_configs:\n      - url: {self._messages}/\1",
            text,
        )
        text = re.sub(r"(group_wait|group_interval): \w+", r"\1: 1s", text)
        config = self.base / "alertmanager.yml"
        config.write_text(text)
        process = self.start(
            needed("prometheus-alertmanager"),
            f"--config.file={config}",
            f"--storage.path={self.base / 'alerts'}",
            f"--web.listen-address={self._alertmanager}",
            "--cluster.listen-address=",
        )
        until(lambda: asked(f"{self.alertmanager}/-/ready"), bool)
        return process

    def start_prometheus(self):
        """The shipped rules, looked at every second."""
        rules = (ALERTING / "watcher.rules.yml").read_text().replace("for: 3m", "for: 1s")
        (self.base / "watcher.rules.yml").write_text(rules)
        text = (ALERTING / "prometheus.yml").read_text()
        text = text.replace("localhost:9464", self.metrics).replace("30s", "1s")
        text = text.replace("localhost:9093", self._alertmanager)
        text = text.replace("/etc/prometheus/", f"{self.base}/")
        config = self.base / "prometheus.yml"
        config.write_text(text)
        self.start(
            needed("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={self.base / 'series'}",
            f"--web.listen-address={self._prometheus}",
        )
        until(lambda: asked(f"http://{self._prometheus}/-/ready"), bool)

    def start_rsyslog(self, log):
        """The shipped rules on that log file."""
        work = self.base / "rsyslog"
        work.mkdir(exist_ok=True)
        text = (ALERTING / "rsyslog-watcher.conf").read_text()
        text = text.replace("/var/log/watcher/watcher.jsonl", str(log))
        text = text.replace("/var/spool/rsyslog", str(work))
        text = text.replace("/usr/local/lib/watcher_alert.py", str(PROGRAM))
        text = text.replace("/usr/bin/python3", sys.executable)
        text = text.replace("http://127.0.0.1:9093", self.alertmanager)
        text = text.replace("--silent 300", f"--silent {DAY}")
        config = self.base / "rsyslog.conf"
        config.write_text(f'global(workDirectory="{work}")\n{text}')
        return self.start(needed("rsyslogd"), "-n", "-i", "NONE", "-f", str(config))

    def alerts(self):
        """The alerts for somebody that Alertmanager holds for firing, by name."""
        url = f"{self.alertmanager}/api/v2/alerts?filter=who!=nobody"
        said = json.loads(until(lambda: asked(url), bool))
        return {each["labels"]["alertname"]: each for each in said}

    def values(self, query):
        """What Prometheus answers a query."""
        words = urllib.parse.urlencode({"query": query})
        return json.loads(asked(f"http://{self._prometheus}/api/v1/query?{words}") or b"{}")


def ended(process):
    """End a program of ours."""
    process.terminate()
    try:
        process.wait(60.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(60.0)


@pytest.fixture
def servers(tmp_path):
    base = tmp_path / "servers"
    base.mkdir()
    with contextlib.closing(Servers(base)) as made:
        yield made


def drop(world, study):
    make_dicom(world.drop / study, study=study, series=f"{study}.1", sop=f"{study}.1.1")


def conflict(world, daemon):
    """A second study under the label of an archived one: the line that tells of it."""
    drop(world, "1.2.3")
    daemon.wait_for("session.archived")
    drop(world, "1.2.4")
    (line,) = daemon.wait_for("session.conflict")
    return line


def settle(world, session):
    """The command that settles it."""
    world.let_go(session)
    words = ("archive", session, "--force", "--reason", "one examination")
    assert 0 == world.watcher(*words)[0], world.errors


def seconds(since, until_):
    """From a line's timestamp to a moment, told in the report of the run."""
    return round(until_ - datetime.fromisoformat(since).astimezone(UTC).timestamp(), 1)


def test_a_conflict_becomes_an_alert_by_way_of_the_metrics(tmp_path, servers):
    """Who knows the data is told, with a command that names the session; and once it is settled.

    A watcher that is killed is told to the administrator. Every panel's query is answered.
    """
    servers.start_alertmanager()
    servers.start_prometheus()
    name = "WatcherSessionConflict"
    extra = f'heartbeat = "1s"\n[metrics]\nlisten = "{servers.metrics}"'
    world = World(tmp_path / "world", extra=extra)
    with world.daemon() as daemon:
        line = conflict(world, daemon)
        raised, alert = servers.people.wait_for(STUDY_TEAM, name, "firing")
        assert ("metrics", "imaging") == (alert["labels"]["source"], alert["labels"]["host"])
        program, *words = shlex.split(alert["annotations"]["command"])
        assert "watcher" == program
        assert line["session"] in world.watcher(*words)[1]
        panels_answer(servers)
        settle(world, line["session"])
        (settled,) = daemon.wait_for("session.settled")
        over = servers.people.wait_for_the_end(STUDY_TEAM, name)
        until(servers.alerts, lambda found: name not in found)
        until(lambda: asked(f"{servers.alertmanager}/api/v2/alerts"), lambda s: b"Watchdog" in s)
    died = time.time()
    until(servers.alerts, lambda found: "WatcherDown" in found)  # a slow answer may be one as well
    servers.people.wait_for(ADMIN, "WatcherDown", "firing")
    told(
        way="prometheus",
        fires=seconds(line["timestamp"], raised),
        resolves=seconds(settled["timestamp"], over),
        dead=round(time.time() - died, 1),
    )


def panels_answer(servers):
    """Prometheus understands every query of the dashboard, and all but the rates have samples."""
    board = json.loads((ALERTING / "grafana-dashboard.json").read_text())
    for panel in board["panels"]:
        for target in panel["targets"]:
            query = target["expr"].replace("$host", ".*").replace("$__rate_interval", "1m")
            until(lambda query=query: (query, servers.values(query)), is_answered)


def is_answered(asked_):
    """A scrape that a slow machine missed leaves no samples for a moment."""
    query, answer = asked_
    return "success" == answer.get("status") and (answer["data"]["result"] or "rate(" in query)


def test_a_conflict_becomes_an_alert_by_way_of_the_log(tmp_path, servers):
    """The alert names the session and what to type; it resolves when the conflict is settled."""
    servers.start_alertmanager()
    log = tmp_path / "watcher.jsonl"
    servers.start_rsyslog(log)
    world = World(tmp_path / "world", extra=f'heartbeat = "1s"\nfile = "{log}"')
    with world.daemon() as daemon:
        line = conflict(world, daemon)
        name, session = "WatcherSessionConflict", line["session"]
        raised, alert = servers.people.wait_for(STUDY_TEAM, name, "firing")
        assert ("log", "imaging") == (alert["labels"]["source"], alert["labels"]["host"])
        assert session == alert["labels"]["session"]
        assert f"session/{session}" == alert["labels"]["key"]
        assert f"watcher show {session}" == alert["annotations"]["command"]
        assert "Invalid modification of session UID" in alert["annotations"]["description"]
        settle(world, session)
        (settled,) = daemon.wait_for("session.settled")
        over = servers.people.wait_for_the_end(STUDY_TEAM, name)
        assert name not in servers.alerts()
    told(
        way="rsyslog",
        fires=seconds(line["timestamp"], raised),
        resolves=seconds(settled["timestamp"], over),
    )


def test_rsyslog_reads_long_lines_and_rotated_files(tmp_path, servers):
    """A line with many findings is read whole; the log goes on under its name after it was rotated;
    what was written while rsyslog was down is read at its start. What can't be an alert is named.
    """
    servers.start_alertmanager()
    log = tmp_path / "watcher.jsonl"
    first = servers.start_rsyslog(log)
    findings = [{"code": f"c{number}", "text": "x" * 100} for number in range(1000)]
    append(log, {**LINE, "findings": findings})
    alert = until(servers.alerts, bool)["WatcherSessionConflict"]
    assert f"c999: {'x' * 100}" == alert["annotations"]["description"].splitlines()[-1]
    append(log, {**LINE, "timestamp": "no time", "key": "session/9"})
    complaints = servers.base / "rsyslog" / "watcher-alerts.log"
    until(lambda: complaints.exists() and "no time" in complaints.read_text(), bool)
    log.rename(tmp_path / "watcher.jsonl.1")
    append(log, {**LINE, "event": "drop.unavailable", "key": "drop/mri", "who": "admin"})
    until(servers.alerts, lambda found: "WatcherDropUnavailable" in found)
    ended(first)
    append(log, {**END, "key": "session/1"})
    servers.start_rsyslog(log)
    found = until(servers.alerts, lambda found: "WatcherSessionConflict" not in found)
    assert ["WatcherDropUnavailable"] == list(found)


def append(path, line):
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")


def told(**values):
    """One line for the report of the run (pytest -s)."""
    print(json.dumps(values))


class Bridge:
    """The program that rsyslog runs, given lines as rsyslog gives them."""

    def __init__(self, servers, *words):
        self.process = subprocess.Popen(
            [
                *(sys.executable, str(PROGRAM), "--state", str(servers.base / "state.json")),
                *("--alertmanager", servers.alertmanager, "--host", "h"),
                *("--silent", str(DAY), "--timeout", "180", *words),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert "OK" == self.answer()

    def answer(self):
        return self.process.stdout.readline().strip()

    def says(self, line):
        """The answer to one line."""
        self.process.stdin.write((line if isinstance(line, str) else json.dumps(line)) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with self.process:
            self.process.stdin.close()
            code = self.process.wait(180.0)
        assert 0 == code


def test_an_alert_outlives_the_programs_that_hold_it(servers):
    """A heartbeat repeats it to an Alertmanager that began anew; a bridge that did can end it."""
    first = servers.start_alertmanager()
    with Bridge(servers) as bridge:
        assert "OK" == bridge.says(LINE)
        assert "WatcherSessionConflict" in servers.alerts()
        ended(first)
        assert bridge.says(BEAT).startswith("Alertmanager: ")
        shutil.rmtree(servers.base / "alerts")
        servers.start_alertmanager()
        assert {} == servers.alerts()
        assert "OK" == bridge.says({**BEAT, "conditions": ["session.conflict"]})
        assert "WatcherSessionConflict" in servers.alerts()
    with Bridge(servers) as bridge:
        assert "OK" == bridge.says({**END, "key": "session/2"})
        assert "WatcherSessionConflict" in servers.alerts()
        assert "OK" == bridge.says({**END, "key": "session/1"})
        assert {} == servers.alerts()


def test_an_end_that_was_missed_is_found_out(servers):
    """A condition that two heartbeats do not name is over; one that they name is not."""
    servers.start_alertmanager()
    drop_ = {**LINE, "event": "drop.unavailable", "key": "drop/mri", "drop": "mri", "who": "admin"}
    beat = {**BEAT, "conditions": ["drop.unavailable"]}
    with Bridge(servers) as bridge:
        for line in (LINE, drop_, beat):
            assert "OK" == bridge.says(line)
        assert {"WatcherSessionConflict", "WatcherDropUnavailable"} == set(servers.alerts())
        assert "OK" == bridge.says(beat)
        assert {"WatcherDropUnavailable"} == set(servers.alerts())


def test_only_what_is_asked_for_is_an_alert(servers):
    """Warnings with `--level warning`; another condition under a key takes the first one's place;
    what is refused for good, and what is no line of ours, does not hold up the lines behind it.
    """
    servers.start_alertmanager()
    stuck = {**LINE, "level": "warning", "event": "file.stuck", "key": "stuck/1", "who": "sender"}
    with Bridge(servers) as bridge:
        assert "OK" == bridge.says(stuck)
        assert {} == servers.alerts()
    with Bridge(servers, "--level", "warning") as bridge:
        assert "OK" == bridge.says({**LINE, "timestamp": "no time", "key": "session/9"})
        assert "OK" == bridge.says("nonsense")
        assert "OK" == bridge.says({**LINE, "event": 1})
        assert "OK" == bridge.says(stuck)
        assert "OK" == bridge.says(LINE)
        assert {"WatcherFileStuck", "WatcherSessionConflict"} == set(servers.alerts())
        assert ["sender"] == [r["name"] for r in servers.alerts()["WatcherFileStuck"]["receivers"]]
        assert "OK" == bridge.says({**LINE, "event": "session.error", "who": "admin"})
        assert {"WatcherFileStuck", "WatcherSessionError"} == set(servers.alerts())


def test_a_log_that_falls_silent_is_an_alert(servers):
    """It, and what was open, stays so until the next heartbeat; other lines do not end it."""
    servers.start_alertmanager()
    with Bridge(servers, "--silent", "0.2", "--look", "0.1") as bridge:
        assert "OK" == bridge.says(LINE)
        alert = until(servers.alerts, lambda found: "WatcherDaemonHeartbeat" in found)
        assert ["admin"] == [each["name"] for each in alert["WatcherDaemonHeartbeat"]["receivers"]]
        assert "OK" == bridge.says({**BEAT, "event": "daemon.ready"})
        for name, each in alert.items():  # said to last for a day, again and again
            until(servers.alerts, lambda now, n=name, a=each: now.get(n, a)["endsAt"] > a["endsAt"])
    with Bridge(servers) as bridge:
        assert "OK" == bridge.says({**BEAT, "conditions": ["session.conflict"]})
        assert ["WatcherSessionConflict"] == list(servers.alerts())


def test_a_full_disk_holds_up_no_alert(servers):
    """Where what is open can't be kept, it is told all the same."""
    servers.start_alertmanager()
    with Bridge(servers, "--state", str(servers.base / "no folder" / "state.json")) as bridge:
        assert "OK" == bridge.says({**LINE, "event": "storage.low", "key": "low/state"})
        assert "OK" == bridge.says(LINE)
        assert {"WatcherStorageLow", "WatcherSessionConflict"} == set(servers.alerts())
        assert "OK" == bridge.says({**END, "key": "session/1"})
        assert ["WatcherStorageLow"] == list(servers.alerts())


@pytest.mark.parametrize("is_over", [False, True])
def test_log_and_metrics_are_one_message(servers, is_over):
    """Of a condition that both tell of the log's alert is sent, and not the metrics' after its end,
    of which they hear later. Another host's is sent as well, and so is what only metrics tell.
    """
    servers.start_alertmanager()
    metrics = {"alertname": "M", "service": "watcher", "source": "metrics", "who": "data"}
    metrics |= {"event": "session.conflict", "key": "session.conflict"}
    here, there = ({**metrics, "host": host} for host in ("h", "elsewhere"))
    switch = {"alertname": "WatcherWatchdog", "service": "watcher", "source": "metrics"}
    switch |= {"host": "h", "key": "watchdog"}
    with Bridge(servers) as bridge:
        assert "OK" == bridge.says(LINE)
        if is_over:
            assert "OK" == bridge.says({**END, "key": "session/1"})
    posted = json.dumps([{"labels": each} for each in (here, there, switch)]).encode()
    url = f"{servers.alertmanager}/api/v2/alerts"
    until(lambda: asked(url, posted), bool)

    def held():
        found = json.loads(until(lambda: asked(f"{url}?active=false"), bool))
        return [each["labels"] for each in found]

    until(held, lambda found: found == [here])  # it is looked at after it was taken


@pytest.mark.parametrize(
    ("who", "receiver"), [("data", "data"), ("sender", "sender"), ("admin", "admin")]
)
def test_alerts_are_routed_by_who_acts(who, receiver):
    """The shipped routes are whole, and send each alert to whoever the catalogue says."""
    config = str(ALERTING / "alertmanager.yml")
    amtool = needed("amtool")
    assert 0 == subprocess.run([amtool, "check-config", config], capture_output=True).returncode
    routes = [amtool, "config", "routes", "test", f"--config.file={config}"]
    done = subprocess.run(
        [*routes, "service=watcher", f"who={who}"], capture_output=True, text=True
    )
    assert (0, receiver) == (done.returncode, done.stdout.strip())


@pytest.mark.parametrize(
    "words", [("check", "rules", "watcher.rules.yml"), ("test", "rules", "watcher.rules.test.yml")]
)
def test_promtool_passes_the_rules(words):
    """Each rule fires when it should, with its labels, and not a moment before."""
    done = subprocess.run(
        [needed("promtool"), *words], cwd=ALERTING, capture_output=True, text=True
    )
    assert (0, "") == (done.returncode, done.stderr), done.stdout


def test_rsyslog_reads_its_configuration(tmp_path):
    """It has no fault that rsyslog finds."""
    config = tmp_path / "rsyslog.conf"
    shipped = (ALERTING / "rsyslog-watcher.conf").read_text()
    config.write_text(f'global(workDirectory="{tmp_path}")\n{shipped}')
    done = subprocess.run(
        [needed("rsyslogd"), "-N1", "-f", str(config)], capture_output=True, text=True
    )
    faults = [line for line in done.stderr.splitlines() if "error" in line]
    assert ([], 0) == (faults, done.returncode)
