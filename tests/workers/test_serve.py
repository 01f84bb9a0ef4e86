"""The process `serve`, as a person starts it."""

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import time

import httpx
import msgspec
import pytest

from pipeline.adapters.kafka import Kafka
from pipeline.config import ServeSettings
from pipeline.errors import Fatal
from tests.adapters.test_http import Stream, numbers
from tests.conftest import SMALL
from tests.stages.serving import Hand
from workers.serve import policy_of, read_truths


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Served:
    """`gantry serve` with a file of its own, started as often as one likes."""

    def __init__(self, folder, servers, prefix, port=None):
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.file = folder / "installation.yaml"
        self.log = folder / "serve.log"
        self.file.write_bytes(
            msgspec.yaml.encode(
                {
                    "kafka": {"servers": servers, "prefix": prefix, "sizes": msgspec.to_builtins(SMALL)},
                    "serve": {"port": self.port, "database": str(folder / "deep" / "gantry.db")},
                }
            )
        )

    def start(self, **environ):
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "workers.gantry", "serve", "--config", str(self.file)],
                stdout=log,
                stderr=log,
                env={k: v for k, v in os.environ.items() if not k.startswith("GANTRY_")} | environ,
            )

    def said(self):
        return self.log.read_text()

    async def ready(self, process):
        async with httpx.AsyncClient() as client, asyncio.timeout(90):
            while True:
                assert process.poll() is None, self.said()
                try:
                    answer = await client.get(f"{self.url}/readyz")
                except httpx.HTTPError:
                    answer = None
                if answer is not None and answer.json() == {"ready": True, "history": True}:
                    return
                await asyncio.sleep(0.1)


@pytest.fixture
async def hand(kafka, topics):
    real = Kafka(servers=kafka.servers, topics=topics, client_id="serve-test")
    async with real.writer() as writer:
        yield Hand(writer)


@pytest.mark.kafka
async def test_a_kill_in_the_middle_loses_nothing_and_tells_nothing_twice(kafka, topics, hand, tmp_path):
    serving = Served(tmp_path, kafka.servers, topics.prefix)
    written, told = 0, []
    process = serving.start()
    try:
        await serving.ready(process)
        token = None
        for _ in range(3):
            async with httpx.AsyncClient(timeout=30) as client:
                headers = {"Last-Event-ID": token} if token else {}
                query = {"kinds": "event"}
                async with client.stream(
                    "GET", f"{serving.url}/api/v1/stream", params=query, headers=headers
                ) as answer:
                    stream = Stream(answer.aiter_lines())
                    if token is None:
                        assert (await stream.next())[0] == "snapshot"
                    await hand.events(*range(max(0, written - 5), written + 50))  # the last ones are repeated
                    written += 50
                    told += await numbers(stream, random.randint(1, 40))
                    token = stream.last_id
                    process.kill()
                    process.wait()
            process = serving.start()
            await serving.ready(process)
        async with (
            httpx.AsyncClient(timeout=30) as client,
            client.stream("GET", f"{serving.url}/api/v1/stream", headers={"Last-Event-ID": token}) as answer,
        ):
            stream = Stream(answer.aiter_lines())
            while len(told) < written:
                kind, data = await stream.next()
                assert kind == "event"
                told.append(data["captured_ms"] // 1000)
            assert told == list(range(written))
            items = (await client.get(f"{serving.url}/api/v1/events?limit=1000&order=oldest")).json()["items"]
            assert [e["captured_ms"] // 1000 for e in items] == list(range(written))

            begun = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, 20) == 0
            assert time.monotonic() - begun < 15, "an open stream held up the end"
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in serving.said()
    assert f"answers at http://127.0.0.1:{serving.port}/api/v1" in serving.said()


@pytest.mark.kafka
async def test_a_port_in_use_is_told_in_one_line(kafka, topics, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        serving = Served(tmp_path, kafka.servers, topics.prefix, port=taken.getsockname()[1])
        process = serving.start()
        assert await asyncio.to_thread(process.wait, 60) == 78
    [line] = [line for line in serving.said().splitlines() if "ERROR" in line]
    assert f"cannot listen on 127.0.0.1:{serving.port}" in line
    assert "Traceback" not in serving.said()


def test_a_database_that_cannot_be_is_told_before_kafka_is_waited_for(tmp_path):
    (tmp_path / "deep").write_text("a file where a folder should be")
    serving = Served(tmp_path, ["127.0.0.1:1"], "none.")
    assert serving.start().wait(60) == 78
    [line] = [line for line in serving.said().splitlines() if "ERROR" in line]
    assert "folder of the history file" in line
    assert "Traceback" not in serving.said()


def test_the_settings_reach_the_stage():
    policy = policy_of(ServeSettings(clients=7, retention_days=3))
    assert (policy.clients, policy.retention_days) == (7, 3)


def test_all_truth_files_that_cannot_be_read_are_told_at_once(tmp_path):
    (tmp_path / "bad.json").write_text('{"seed": "one"}')
    files = {
        camera: str(tmp_path / name) for camera, name in (("a", "none.json"), ("b", "bad.json"), ("c", "bad.json"))
    }

    with pytest.raises(Fatal) as told:
        read_truths(files)
    lines = str(told.value).splitlines()
    assert lines[0] == f"the truth {tmp_path / 'none.json'}: No such file or directory"
    assert lines[1].startswith(f"{tmp_path / 'bad.json'}: seed: ")
    assert len(lines) == len(set(lines))
