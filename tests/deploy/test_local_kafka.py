"""The broker on this machine, as a user at a shell meets it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.kafka import kafka
from deploy.kafka.kafka import INSTALL, LocalKafka, Trouble, main

SCRIPT = Path(kafka.__file__)


def test_a_missing_java_is_told_in_one_line_with_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("GANTRY_CACHE", str(tmp_path))

    assert main(["fetch"]) == 1
    assert capsys.readouterr().err == ("kafka.py: Java is missing: apt-get install -y openjdk-17-jre-headless maven\n")
    assert list(tmp_path.iterdir()) == []


def test_a_maven_that_fails_is_told_and_leaves_nothing_half_done(tmp_path, monkeypatch, capsys):
    for tool, does in {"java": "echo 'version \"17.0.1\"' >&2", "mvn": "echo '[ERROR] no network'; exit 1"}.items():
        (tmp_path / tool).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / tool).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("GANTRY_CACHE", str(tmp_path / "cache"))

    assert main(["fetch"]) == 1
    assert capsys.readouterr().err == "kafka.py: Maven could not fetch Kafka: [ERROR] no network\n"
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_java_that_is_too_old_is_told(tmp_path, monkeypatch):
    (tmp_path / "java").write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    (tmp_path / "java").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(Trouble, match="needs Java 17 or newer"):
        kafka.java()


@pytest.mark.parametrize("port", ["0", "65536", "nine"])
def test_a_port_that_is_none_is_refused(port, capsys):
    with pytest.raises(SystemExit):
        main(["run", "--port", port])
    assert "a port is a number from 1 to 65535" in capsys.readouterr().err


@pytest.mark.kafka
def test_a_port_or_a_folder_in_use_is_told(own_kafka, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(Trouble, match="is in use"):
            LocalKafka(tmp_path, taken.getsockname()[1]).start()
    with pytest.raises(Trouble, match="another broker uses the data folder"):
        LocalKafka(own_kafka.data).start()


@pytest.mark.kafka
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.skipif(not (shutil.which("java") and shutil.which("mvn")), reason=f"needs Java and Maven: {INSTALL}")
def test_run_says_when_it_is_ready_and_a_signal_ends_it_cleanly(tmp_path, number):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, str(SCRIPT), "run", "--port", str(port), "--data", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as running:
        said = running.stdout.readline()
        running.send_signal(number)
        code = running.wait(60)

    assert said.startswith(f"Kafka {kafka.version()} is ready at 127.0.0.1:{port}, ")
    assert code == 0
    with socket.socket() as probe, pytest.raises(ConnectionRefusedError):
        probe.connect(("127.0.0.1", port))
    assert (tmp_path / "log" / "meta.properties").exists()
