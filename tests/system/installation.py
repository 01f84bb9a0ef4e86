"""A whole gantry for tests: every worker its own OS process, on a real Kafka, from one installation file."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import yaml

from pipeline.wire.topics import Sizes, Topics

ROOT = Path(__file__).resolve().parents[2]
PROCESSES = ("capture", "detect", "track", "aggregate", "serve")
SIZES = {"frames": 4, "shards": 3, "capture_shards": 2}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def until(true, *, seconds, what):
    """Wait until something is true; a worker that died meanwhile is told by `true` itself."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := true():
            return answer
        time.sleep(0.2)
    raise AssertionError(f"{what} did not happen within {seconds} s")


class Installation:
    """One installation file and the processes that run from it."""

    def __init__(self, folder, servers, prefix, *, model, cameras, scenes, environment=None, **sections):
        self.folder, self.prefix, self.servers = folder, prefix, servers
        self.topics = Topics(prefix, Sizes(**SIZES))
        self.port = free_port()
        self.metrics = {name: free_port() for name in PROCESSES}
        self.environment = environment or {}
        self.file = folder / "gantry.yaml"
        self.processes = {}
        file = {
            "kafka": {"servers": servers, "prefix": prefix, "sizes": SIZES},
            "detect": {"model": str(model)},
            "serve": {"port": self.port, "database": str(folder / "gantry.db")},
            "cameras": cameras,
            "scenes": scenes,
        }
        for section, values in sections.items():
            file[section] = file.get(section, {}) | values
        self.file.write_text(yaml.safe_dump(file))

    def gantry(self, *words, check=True):
        """Run one command to its end: (exit code, everything it said)."""
        done = subprocess.run(
            [sys.executable, "-m", "workers.gantry", *words], cwd=ROOT, env=self._environment("command"), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, check=False,
        )  # fmt: skip
        if check:
            assert done.returncode == 0, done.stdout
        return done.returncode, done.stdout

    def prepare(self):
        self.gantry("topics", "apply", "--config", str(self.file))
        self.gantry("cameras", "apply", str(self.file))
        self.gantry("scenes", "apply", str(self.file))

    def start(self, *names):
        for name in names:
            with self.log(name).open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    [sys.executable, "-m", "workers.gantry", name, "--config", str(self.file)], cwd=ROOT,
                    env=self._environment(name), stdout=log, stderr=log, start_new_session=True,
                )  # fmt: skip

    def kill(self, *names):
        """SIGKILL: no goodbye, no clean-up."""
        for name in names:
            os.killpg(self.processes[name].pid, signal.SIGKILL)
            self.processes.pop(name).wait()

    def stop(self, *names):
        for name in names:
            self.processes[name].terminate()
        for name in names:
            assert self.processes.pop(name).wait(30) == 0, self.said(name)

    def log(self, name):
        return self.folder / f"{name}.log"

    def said(self, name):
        return self.log(name).read_text() if self.log(name).exists() else ""

    def alive(self):
        for name, process in self.processes.items():
            assert process.poll() is None, f"{name} ended with {process.returncode}:\n{self.said(name)[-3000:]}"
        return True

    def get(self, path, **query):
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", params=query, timeout=20).raise_for_status()

    def close(self):
        for name in list(self.processes):
            with contextlib.suppress(ProcessLookupError):
                self.kill(name)

    def _environment(self, name):
        kept = {k: v for k, v in os.environ.items() if not k.startswith("GANTRY_")}
        ports = {"GANTRY_METRICS_PORT": str(self.metrics[name])} if name in self.metrics else {}
        # an instance name lets a killed worker come back to its partitions at once, as under a supervisor
        return kept | ports | {"GANTRY_INSTANCE": f"test-{name}"} | self.environment


class LiveEvents(threading.Thread):
    """A reader of the server-sent events that comes back with its token whenever the stream ends."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.url = f"http://127.0.0.1:{port}/api/v1/stream"
        self.messages, self.token, self.ended = [], None, threading.Event()
        self.snapshots = 0

    def run(self):
        while not self.ended.is_set():
            with contextlib.suppress(httpx.HTTPError):
                headers = {"Last-Event-ID": self.token} if self.token else {}
                with httpx.stream("GET", self.url, headers=headers, params={"kinds": "event"}, timeout=5) as answer:
                    self._read(answer.iter_lines())
            time.sleep(0.2)

    def _read(self, lines):
        message = {}
        for line in lines:
            if self.ended.is_set():
                return
            if line:
                name, _, value = line.partition(":")
                message[name] = message.get(name, "") + value.removeprefix(" ")
            else:
                self._take(message)
                message = {}

    def _take(self, message):
        if message.get("event") == "event":
            self.messages.append(json.loads(message["data"]))
        self.snapshots += message.get("event") in {"snapshot", "reset"}
        self.token = message.get("id", self.token)
