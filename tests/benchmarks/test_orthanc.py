"""The whole job beside Orthanc, the peer that Debian has: the same files, by its REST API."""

import http.client
import json
import os
import shutil
import socket
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from measured import FULL, few, make_ct, make_mr, median, ratio, report, run, settled, timed
from whole import whole_job

ORTHANC = shutil.which("Orthanc", path="/usr/sbin:/usr/bin")
CLIENTS = 4
ROUNDS = few(3, 1)


class Orthanc:
    """A server of one's own on a free port, its files and its index in `base`."""

    def __init__(self, base):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        base.mkdir()
        options = {
            "StorageDirectory": str(base),
            "IndexDirectory": str(base),
            "HttpPort": self.port,
            "HttpServerEnabled": True,
            "DicomServerEnabled": False,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "Plugins": [],
        }
        (base / "orthanc.json").write_text(json.dumps(options))
        self.base = base
        self.process = None

    def __enter__(self):
        config = str(self.base / "orthanc.json")
        self.process = subprocess.Popen([ORTHANC, config], stderr=subprocess.DEVNULL)
        while not self._answers():
            assert self.process.poll() is None
            threading.Event().wait(0.05)  # there is nothing else to be waited for
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(60)
        shutil.rmtree(self.base)

    def _answers(self):
        try:
            return self.instances() == 0
        except OSError:
            return False

    def instances(self):
        """How many it holds."""
        asking = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        asking.request("GET", "/statistics")
        found = json.loads(asking.getresponse().read())["CountInstances"]
        asking.close()
        return found

    def post(self, paths):
        """One client: its files, one after the other, by one connection."""
        asking = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        for path in paths:
            with open(path, "rb") as file:
                asking.request("POST", "/instances", file.read())
            answer = asking.getresponse()
            assert 200 == answer.status
            answer.read()
        asking.close()

    def take(self, folder):
        """All files of a folder, by four clients; and they are on disk."""
        paths = [os.path.join(folder, name) for name in sorted(os.listdir(folder))]
        with ThreadPoolExecutor(CLIENTS) as clients:
            shares = [paths[at::CLIENTS] for at in range(CLIENTS)]
            assert [None] * CLIENTS == [*clients.map(self.post, shares)]
        settled()
        assert self.instances() == len(paths)


@pytest.mark.benchmark
@pytest.mark.timeout(3600)
@pytest.mark.skipif(ORTHANC is None, reason="needs Debian's orthanc")
@pytest.mark.parametrize(
    ("make", "number", "kib", "bar"),
    [(make_mr, few(2000, 8), 512, 6), (make_ct, few(4000, 8), 39, 3)],
    ids=["mr", "ct"],
)
def test_whole_job_against_orthanc(tmp_path, make, number, kib, bar):
    """So many times the files that Orthanc takes in a second are archived in one."""
    make(tmp_path / "tree", number)
    ours, theirs = [], []
    for turn in range(ROUNDS):
        seconds, archived = whole_job(
            tmp_path / f"world{turn}", tmp_path / "tree", tmp_path / f"store{turn}"
        )
        assert number == archived
        ours.append(seconds)
        settled()
        with Orthanc(tmp_path / f"orthanc{turn}") as peer:
            theirs.append(timed(peer.take, tmp_path / "tree")[0])
        settled()
    report(
        "whole job against Orthanc",
        orthanc=run(ORTHANC, "--version").split()[1],
        files=number,
        kib_each=kib,
        rounds=ROUNDS,
        clients=CLIENTS,
        files_per_second=round(number / median(ours)),
        orthanc_files_per_second=round(number / median(theirs)),
        times=(found := ratio(theirs, ours)),
    )
    assert not FULL or found >= bar
