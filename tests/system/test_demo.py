"""`gantry demo` for real: a broker in memory, every process, painted cameras, a model, and true counts beside counted."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

MOVING_S = 150
"""So long may it take, on a machine that does other work, until crossings are counted."""


class Demo:
    """A demo that runs, what it said, and what it has."""

    def __init__(self, folder, *words):
        self.folder, self.log = folder, folder / "demo.log"
        environ = {key: value for key, value in os.environ.items() if not key.startswith("GANTRY_")}
        (folder / "tmp").mkdir()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "workers.gantry", "demo", "--no-browser", *words],
                stdout=log, stderr=log, env=environ | {"TMPDIR": str(folder / "tmp")},
            )  # fmt: skip

    def said(self):
        return self.log.read_text()

    def until(self, pattern):
        began = time.monotonic()
        while not (found := re.search(pattern, self.said())):
            assert self.process.poll() is None, self.said()
            assert time.monotonic() - began < MOVING_S, self.said()
            time.sleep(0.2)
        return found

    def everyone(self):
        mother = psutil.Process(self.process.pid)
        return [mother, *mother.children(recursive=True)]

    def ports(self):
        return {
            c.laddr.port for p in self.everyone() for c in p.net_connections("tcp") if c.status == psutil.CONN_LISTEN
        }


@pytest.fixture
def demo(tmp_path):
    running = Demo(tmp_path, "--fps", "5")
    yield running
    if running.process.poll() is None:
        running.process.kill()
        running.process.wait()


@pytest.mark.timeout(600)
def test_vehicles_are_counted_beside_the_true_number_and_ctrl_c_leaves_nothing_behind(demo):
    api = demo.until(r"the API is at (http://\S+),").group(1)
    page = demo.until(r"watch it at (http://\S+);").group(1)
    began = time.monotonic()
    with httpx.Client(timeout=20) as client:
        while True:
            try:
                told = client.get(f"{api}/api/v1/truth").json()["items"]
            except httpx.TransportError:  # a process that ended is started again, as users see it too
                told = []
            by_camera = {
                camera: [each for each in told if each["camera"] == camera] for camera in ("junction", "motorway")
            }
            if all(sum(each["counted"] for each in of) >= 2 for of in by_camera.values()):
                break
            assert time.monotonic() - began < MOVING_S, (told, demo.said())
            time.sleep(1)
        assert all(sum(each["true"] for each in of) >= 2 for of in by_camera.values())
        assert client.get(page).status_code == 200
        picture = client.get(f"{api}/api/v1/cameras/junction/picture")
        assert picture.content.startswith(b"\xff\xd8")
        states = {each["id"]: each["state"] for each in client.get(f"{api}/api/v1/cameras").json()["items"]}
    assert states == {"junction": "live", "motorway": "live"}
    everyone, ports = demo.everyone(), demo.ports()
    assert len(everyone) > 7
    names = " ".join(" ".join(each.cmdline()) for each in everyone)
    assert all(
        f"workers.gantry {name}" in names for name in ("capture", "detect", "track", "aggregate", "serve", "dashboard")
    )

    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(60) == 0
    assert psutil.wait_procs(everyone, timeout=10)[1] == []
    assert list((demo.folder / "tmp").iterdir()) == []
    still = {c.laddr.port for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
    assert not ports & still
    table = demo.said()
    assert re.search(r"│ motorway │ all +│ +│ +\d+ │ +\d+ │", table), table
    assert "Traceback" not in table


@pytest.mark.timeout(600)
def test_it_ends_by_itself_where_a_port_is_taken_and_says_which(tmp_path):
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):  # somebody else has it: as well
            sock.bind(("127.0.0.1", 8080))
            sock.listen()
        demo = Demo(tmp_path, "--source", "sim+detections://motorway?seed=1&fps=5", "--seconds", "4")
        assert demo.process.wait(MOVING_S) == 0, demo.said()
    assert "port 8080 is taken; the API takes 80" in demo.said()
    assert "True and counted" in demo.said()
    assert list(Path(tmp_path / "tmp").iterdir()) == []
