"""A real Apache Kafka on this machine, without Docker: one broker on the local JVM.

    python deploy/kafka/kafka.py fetch                            fetch the jars (once, by Maven)
    python deploy/kafka/kafka.py run [--port 9092] [--data DIR]   run it until Ctrl-C

Needs Java 17 and Maven, and nothing from Python but its standard library, so it runs before anything is
installed. Jars and data lie under ~/.cache/gantry (or GANTRY_CACHE). It is made for one machine: one broker,
no replicas, no passwords, and it listens on 127.0.0.1 only.
"""

import argparse
import base64
import contextlib
import ctypes
import fcntl
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import IO

INSTALL = "apt-get install -y openjdk-17-jre-headless maven"
JAVA = 17
POM = Path(__file__).with_name("pom.xml")
MIB = 1024 * 1024
READY_S = 90.0  # 3 s idle, 13 s with data, much more on a loaded machine
PORTS = (20_000, 32_768)
STOP_S = 20.0  # a clean stop takes about 6 s


class Trouble(Exception):  # noqa: N818 - what the user must mend, in one line
    """Why there is no broker."""


def cache() -> Path:
    """Where jars and data lie."""
    return Path(os.environ.get("GANTRY_CACHE") or Path.home() / ".cache" / "gantry")


def version() -> str:
    """The version of Kafka that pom.xml names."""
    found = ET.parse(POM).find(".//{*}kafka.version")  # noqa: S314 - our own file
    if found is None or not found.text:
        raise Trouble(f"{POM} names no kafka.version")
    return found.text


def fetch() -> Path:
    """The folder with the jars; Maven fetches them once.

    They appear under their final name only when all are there, so a broken fetch leaves nothing half-done and
    two that run at once do not disturb each other.

    Raises:
        Trouble: Maven or Java is missing, or Maven failed.
    """
    jars = cache() / f"kafka-{version()}"
    if jars.is_dir():
        return jars
    java()
    mvn = shutil.which("mvn")
    if mvn is None:
        raise Trouble(f"Maven (mvn) is missing: {INSTALL}")
    cache().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache(), prefix="fetching-") as scratch:
        fresh = Path(scratch) / "jars"
        command = [mvn, "-B", "-q", "-f", str(POM), "dependency:copy-dependencies", "-DincludeScope=runtime"]
        done = subprocess.run(
            [*command, f"-DoutputDirectory={fresh}"], capture_output=True, text=True, cwd=scratch, check=False
        )
        if done.returncode or not list(fresh.glob("kafka_*.jar")):
            said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
            raise Trouble(f"Maven could not fetch Kafka: {said[0] if said else f'exit code {done.returncode}'}")
        with contextlib.suppress(OSError):  # somebody else was faster
            fresh.rename(jars)
    return jars


def java() -> str:
    """The path of a Java that can run Kafka. Raises Trouble."""
    path = shutil.which("java")
    if path is None:
        raise Trouble(f"Java is missing: {INSTALL}")
    told = subprocess.run([path, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', told)
    if found and int(found[1]) < JAVA:
        raise Trouble(f"Kafka needs Java {JAVA} or newer, {path} is {found[1]}: {INSTALL}")
    return path


class LocalKafka:
    """One broker on this machine.

    Args:
        data: its folder; made when missing, kept when the broker stops. None: under the cache.
        port: where clients connect; 0 takes a free one at the first start and keeps it.

    `servers` is what a client is given. A broker that was stopped or killed starts again on the same port and
    data. If this process dies, the broker is told to stop (Linux).
    """

    def __init__(self, data: Path | None = None, port: int = 0) -> None:
        self.data = (data or cache() / "kafka-data").resolve()
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: IO[str] | None = None

    @property
    def servers(self) -> list[str]:
        """host:port of the broker."""
        return [f"127.0.0.1:{self.port}"]

    @property
    def log(self) -> Path:
        """What the broker says."""
        return self.data / "kafka.log"

    @property
    def running(self) -> bool:
        """Whether the broker's process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self, ready_s: float = READY_S) -> None:
        """Start the broker and return when it answers.

        Raises:
            Trouble: Java or Maven is missing, the port or the folder is in use, or the broker did not start.
        """
        if self.running:
            return
        jars, runtime = fetch(), java()
        try:
            self.data.mkdir(parents=True, exist_ok=True)
            self._lock = (self.data / "lock").open("w")
        except OSError as exc:
            raise Trouble(f"the data folder {self.data} cannot be used: {exc.strerror}") from exc
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            self._unlock()
            raise Trouble(f"another broker uses the data folder {self.data}: give --data another one") from exc
        try:
            self._launch(jars, runtime, ready_s)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Stop the broker cleanly; a broker that does not stop within 20 s is killed."""
        if self._process is not None and self.running:
            self._process.send_signal(signal.SIGCONT)  # it may be paused
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_S)
        self.kill()

    def kill(self) -> None:
        """Take the broker away at once, as a power cut would (its data stays)."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self._unlock()

    def pause(self) -> None:
        """Freeze the broker: connections stay open, nothing answers."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused broker go on."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def wait(self) -> int:
        """Wait for the broker to end; its exit code."""
        return self._process.wait() if self._process is not None else 0

    def _launch(self, jars: Path, runtime: str, ready_s: float) -> None:
        if self.port and _answers(self.port, connect_only=True):
            raise Trouble(f"port {self.port} is in use: stop what listens there or give --port another one")
        self.port = self.port or _free_port()
        settings = self.data / "server.properties"
        settings.write_text(_settings(self.data / "log", self.port, _free_port()))
        # The heap is small and the collector single-threaded: this broker shares its machine with the pipeline.
        jvm = [runtime, "-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-Dlog4j2.level=WARN", "-cp", f"{jars}/*"]
        with self.log.open("wb") as log:
            if not (self.data / "log" / "meta.properties").exists():
                cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode().replace("-", "A")
                command = [*jvm, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(settings)]
                made = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False)
                if made.returncode:
                    raise Trouble(f"Kafka could not format {self.data}: {self._last_words()}")
            self._process = subprocess.Popen(
                [*jvm, "kafka.Kafka", str(settings)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us: we stop the broker ourselves, once
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - no thread runs here yet
            )
        deadline = time.monotonic() + ready_s
        while not _answers(self.port):
            if not self.running:
                raise Trouble(f"Kafka ended while it started: {self._last_words()} (all of it: {self.log})")
            if time.monotonic() > deadline:
                raise Trouble(f"Kafka did not answer within {ready_s:.0f} s; what it said: {self.log}")
            time.sleep(0.1)

    def _last_words(self) -> str:
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        telling = [line for line in lines if "ERROR" in line or "FATAL" in line or "Exception" in line]
        return (telling or lines or ["it said nothing"])[0].strip()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _settings(log: Path, port: int, controller: int) -> str:
    settings = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": log,
        # one broker: nothing has a second copy
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "share.coordinator.state.topic.num.partitions": 4,
        "default.replication.factor": 1,
        "min.insync.replicas": 1,
        "auto.create.topics.enable": "false",  # a topic that appears by itself has the wrong partitions
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 6000,
        "message.max.bytes": 4 * MIB,
        "replica.fetch.max.bytes": 4 * MIB,
        "log.cleaner.dedupe.buffer.size": 8 * MIB,
        "log.segment.bytes": 64 * MIB,
        "log.retention.check.interval.ms": 5000,  # frames are kept for minutes, so look often
        "log.segment.delete.delay.ms": 1000,
    }
    return "".join(f"{key}={value}\n" for key, value in settings.items())


def _free_port() -> int:
    """A port that nothing uses, below those the system gives to outgoing connections: it must be ours again later."""
    while True:
        port = random.randrange(*PORTS)  # noqa: S311 - no secret
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _answers(port: int, connect_only: bool = False) -> bool:
    """Whether a broker on this port knows itself (Metadata, version 1, no topics)."""
    ask = struct.pack(">hhih", 3, 1, 1, -1) + struct.pack(">i", 0)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as line:
            if connect_only:
                return True
            line.sendall(struct.pack(">i", len(ask)) + ask)
            answer = line.recv(12, socket.MSG_WAITALL)
    except OSError:
        return False
    return len(answer) == struct.calcsize(">iii") and struct.unpack(">iii", answer)[2] > 0


def _die_with_parent() -> None:
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM ends us as Ctrl-C does; while the broker stops, further signals change nothing."""

    def end(*_: int | FrameType | None) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    with contextlib.suppress(KeyboardInterrupt):
        yield


def run(port: int, data: Path | None) -> int:
    """Run a broker in the foreground until Ctrl-C or SIGTERM."""
    broker = LocalKafka(data, port)
    code = 0
    with _ended_by_signals():
        if not (cache() / f"kafka-{version()}").is_dir():
            print(f"fetching Kafka {version()} by Maven (once)", flush=True)
        broker.start()
        print(f"Kafka {version()} is ready at {broker.servers[0]}, data in {broker.data}; Ctrl-C stops it", flush=True)
        code = broker.wait()
        print(f"Kafka ended by itself with exit code {code}; what it said: {broker.log}", file=sys.stderr)
        code = code or 1
    broker.stop()
    return code


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="kafka.py", description="A real Apache Kafka on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("fetch", help="fetch the jars and stop")
    runs = commands.add_parser("run", help="run one broker until Ctrl-C")
    runs.add_argument("--port", type=_port, default=9092, help="where clients connect (9092)")
    runs.add_argument("--data", type=Path, help="its data folder, kept when it stops (under the cache)")
    given = parser.parse_args(arguments)
    try:
        if given.command == "fetch":
            print(fetch())
            return 0
        return run(given.port, given.data)
    except Trouble as exc:
        print(f"kafka.py: {exc}", file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    return 1


def _port(text: str) -> int:
    highest = 65535
    if not text.isdigit() or not 1 <= int(text) <= highest:
        raise argparse.ArgumentTypeError(f"a port is a number from 1 to {highest}, got {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
