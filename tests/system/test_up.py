"""`gantry up FILE` for real: a Kafka, a looped film, every process; and every way to end it."""

import os
import signal
import subprocess
import sys
import threading
import uuid

import httpx
import psutil
import pytest
import yaml

from tests.system.installation import PROCESSES, ROOT, SIZES, free_port, until
from tests.system.truth import SCENES

pytestmark = [pytest.mark.kafka, pytest.mark.footage, pytest.mark.timeout(600)]
SLOW_S = 120
NAME = "highway_nl_1280x720"

EVERY = (*PROCESSES, "dashboard")


@pytest.fixture
def file(tmp_path, kafka, footage, model):
    """An installation of one camera."""
    path = tmp_path / "gantry.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "kafka": {"servers": kafka.servers, "prefix": f"u{uuid.uuid4().hex[:8]}.", "sizes": SIZES},
                "detect": {"model": str(model)},
                "serve": {"port": free_port(), "database": str(tmp_path / "gantry.db")},
                "dashboard": {"port": free_port()},
                "metrics": {"port": free_ports()},
                "cameras": {"road": {"source": str(footage / f"videos/{NAME}.mp4"), "loop": True, "fps": 10}},
                "scenes": {"road": yaml.safe_load((SCENES / f"{NAME}.yaml").read_text())},
            }
        )
    )
    return path


def free_ports():
    """The first of as many ports in a row as there are processes."""
    for _ in range(100):
        first = free_port()
        if first + len(EVERY) < 65536 and not any(listens(first + n) for n in range(len(EVERY))):
            return first
    raise AssertionError("no ports in a row are free")


def listens(port):
    return any(c.laddr.port == port for c in psutil.net_connections("inet") if c.laddr)


class Up:
    """`gantry up FILE` as a process; what it says is collected."""

    def __init__(self, file):
        self.settings = yaml.safe_load(file.read_text())
        self.url = f"http://127.0.0.1:{self.settings['serve']['port']}"
        self.lines = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "workers.gantry", "up", str(file)], cwd=ROOT, text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={k: v for k, v in os.environ.items() if not k.startswith("GANTRY_")},
        )  # fmt: skip
        self.reader = threading.Thread(target=lambda: self.lines.extend(self.process.stdout), daemon=True)
        self.reader.start()
        self.known = {}

    def said(self, text):
        return [line for line in self.lines if text in line]

    def alive(self):
        assert self.process.poll() is None, "".join(self.lines[-30:])
        return True

    def family(self):
        """Every process below it, remembered: (pid -> process)."""
        found = psutil.Process(self.process.pid).children(recursive=True)
        self.known |= {process.pid: process for process in found}
        return found

    def child(self, name):
        """The process that runs `gantry NAME`; None while there is none."""
        for process in self.family():
            try:
                words = process.cmdline()
            except psutil.Error:
                continue
            if words[1:4] == ["-m", "workers.gantry", name]:
                return process
        return None

    def get(self, path, **query):
        try:
            return httpx.get(self.url + path, params=query, timeout=20).raise_for_status().json()
        except httpx.HTTPError:
            return None

    def items(self, path, **query):
        return (self.get(path, **query) or {"items": []})["items"]

    def come_up(self):
        until(lambda: self.alive() and self.said("the API is at"), seconds=SLOW_S, what="all processes up")
        self.family()

    def left(self):
        """Processes that it started and that still live, after a while."""
        return psutil.wait_procs(self.known.values(), timeout=30)[1]

    def close(self):
        for process in [*self.known.values()]:
            if process.is_running():
                process.kill()
        self.process.kill()
        self.process.wait()
        self.reader.join(10)
        self.process.stdout.close()


@pytest.fixture
def start(file):
    started = []

    def begin():
        started.append(Up(file))
        return started[-1]

    yield begin
    for up in started:
        up.close()


def test_it_comes_up_answers_restarts_what_dies_and_one_ctrl_c_ends_all(start):
    up = start()
    up.come_up()

    page = f"http://127.0.0.1:{up.settings['dashboard']['port']}"
    assert up.said(f"the API is at {up.url}, the page at {page}")
    assert httpx.get(f"{page}/cameras/road", timeout=20).status_code == 200
    assert {name for name in EVERY if up.child(name)} == set(EVERY)
    assert "gantry    | camera road: added\n" in up.lines
    until(lambda: up.alive() and up.items("/api/v1/events"), seconds=SLOW_S, what="an event")
    (road,) = up.items("/api/v1/cameras")
    assert road["id"] == "road"
    first = up.settings["metrics"]["port"]
    for index, name in enumerate(EVERY):
        assert f"gantry_{name}_" in httpx.get(f"http://127.0.0.1:{first + index}/metrics", timeout=20).text

    victim = up.child("track")
    victim.kill()
    until(lambda: up.said("track was ended by SIGKILL after"), seconds=SLOW_S, what="its end told")
    until(lambda: (now := up.child("track")) and now.pid != victim.pid, seconds=SLOW_S, what="its restart")
    seen = {e["id"] for e in up.items("/api/v1/events", limit=500)}
    until(
        lambda: up.alive() and {e["id"] for e in up.items("/api/v1/events", limit=500)} - seen,
        seconds=SLOW_S,
        what="events again",
    )
    until(lambda: up.items("/api/v1/flow", camera="road"), seconds=SLOW_S, what="a window of flow")

    up.family()
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(60) == 0
    assert up.left() == []
    up.reader.join(10)
    assert up.lines[-1] == "gantry    | all processes have stopped\n"
    assert not up.said("Traceback")
    assert not up.said("is killed")


def test_its_sudden_death_leaves_no_process_behind(start):
    up = start()
    up.come_up()
    until(lambda: up.alive() and up.items("/api/v1/events"), seconds=SLOW_S, what="an event")
    assert len(up.family()) >= len(EVERY) + 1, "capture's decoder is one of them"

    up.process.kill()

    assert up.left() == []
