"""`gantry up`: prepares what the processes need to find, runs them, says where the API is, stops them."""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.config import Mistakes, load
from pipeline.errors import Fatal
from pipeline.wire.topics import Sizes, Topics
from tests.fakes.log import Broker
from workers import up
from workers.gantry import PROCESSES
from workers.supervisor import Patience, Program, Supervisor

FILE = """\
kafka: {sizes: {frames: 6, shards: 4, capture_shards: 3}}
serve: {host: 0.0.0.0, port: SERVE}
dashboard: {port: PAGE}
metrics: {port: METRICS}
cameras: {north: {source: a.mp4}}
groups: {ring: {members: [north]}}
scenes: {north: {drawn_on: 9x9, lines: {l: {from: [0, 0], to: [1, 1]}}}}
"""

LISTENS = """
import os, socket, sys, threading, time
print('listens', flush=True)
answer = b'HTTP/1.0 200 OK\\r\\n\\r\\n' if '--idle' not in sys.argv else b'HTTP/1.0 503 No\\r\\n\\r\\n'
def hold(port):
    held = socket.create_server(('127.0.0.1', int(port)))
    while True:
        asking = held.accept()[0]
        asking.recv(1000)
        asking.sendall(answer)
        asking.close()
for port in [a for a in sys.argv[1:] if a.isdigit()]:
    threading.Thread(target=hold, args=(port,), daemon=True).start()
if '--ends' in sys.argv:
    time.sleep(2)
    print('there is no model', flush=True)
    sys.exit(78)
time.sleep(600)
"""


@pytest.fixture
def broker():
    return Broker(Topics(sizes=Sizes(frames=6, shards=4, capture_shards=3)))


@pytest.fixture
def file(tmp_path, unused_tcp_port_factory):
    path = tmp_path / "gantry.yaml"
    free = unused_tcp_port_factory()
    while not all(_free(free + n) for n in range(8)):
        free = unused_tcp_port_factory()
    path.write_text(FILE.replace("METRICS", str(free)).replace("SERVE", str(free + 6)).replace("PAGE", str(free + 7)))
    return path


def _free(port):
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


@pytest.fixture
def manner():
    """What a stand-in of a process is told to do otherwise than the rest."""
    return {}


@pytest.fixture
def listeners(monkeypatch, manner):
    """Stand-ins that do nothing but answer at the ports which each process would."""

    def programs(path, settings, kafka):
        first = settings.metrics.port
        return [
            Program(
                name=name,
                command=[
                    *(sys.executable, "-c", LISTENS, str(first + index)),
                    *([str(getattr(settings, name).port)] if name in {"serve", "dashboard"} else []),
                    *manner.get(name, []),
                ],
            )
            for index, name in enumerate(PROCESSES)
        ]

    monkeypatch.setattr(up, "programs", programs)


def run(file, broker, patience=None, **more):
    installation = load(file, {})
    supervisor = Supervisor(up.programs(file, installation.settings, None), up.say_line, patience)
    return up.run_all(supervisor, installation, broker, **more)


async def until(capsys, text, seen=None):
    seen = seen if seen is not None else []
    async with asyncio.timeout(60):
        while text not in "".join(seen):
            seen.append(capsys.readouterr().out)
            await asyncio.sleep(0.05)
    return seen


async def test_all_is_registered_all_runs_the_api_is_told_and_one_signal_stops_all(broker, file, listeners, capsys):
    running = asyncio.create_task(run(file, broker))
    seen = await until(capsys, "the API is at http://127.0.0.1:")
    os.kill(os.getpid(), signal.SIGTERM)
    code = await running
    said = "".join([*seen, capsys.readouterr().out])

    assert code == 0
    for line in ("camera north: added", "group ring: added", "scene north: added"):
        assert f"gantry    | {line}" in said
    assert all(f"{name:<9} | listens" in said for name in PROCESSES)
    settings = load(file, {}).settings
    assert f"the API is at http://127.0.0.1:{settings.serve.port}, " in said
    assert f"the page at http://127.0.0.1:{settings.dashboard.port}\n" in said
    assert said.endswith("gantry    | SIGTERM: stops all processes\ngantry    | all processes have stopped\n")
    assert [len(broker.records(t)) for t in ("cameras", "placement", "groups", "scenes")] == [1, 1, 1, 1]


async def test_without_kafka_it_waits_says_so_and_can_be_stopped(broker, file, listeners, capsys):
    broker.away = True
    running = asyncio.create_task(run(file, broker))
    await until(capsys, "the fake broker is away; waiting for it")
    os.kill(os.getpid(), signal.SIGINT)

    assert await running == 130
    assert broker.records("cameras") == []


async def test_topics_that_differ_stop_it_before_anything_runs(broker, file, listeners, monkeypatch, capsys):
    async def differ():
        return ["topic traffic.frames has 1 partitions, it should have 6", "topic traffic.flow does not exist"]

    monkeypatch.setattr(broker, "topics_differ", differ)
    with pytest.raises(Fatal, match=r"has 1 partitions, it should have 6\ntopic traffic\.flow does not exist"):
        await run(file, broker)

    assert "listens" not in capsys.readouterr().out


async def test_a_scene_of_no_camera_stops_it_with_its_place(broker, file, listeners):
    file.write_text(file.read_text().replace("scenes: {north", "scenes: {south"))
    with pytest.raises(Mistakes, match=r"gantry.yaml:7: scenes.south: is a scene of no camera"):
        await run(file, broker)


async def test_cameras_that_run_though_the_file_does_not_name_them_are_told(broker, file, capsys):
    said = []
    await up._prepare(load(file, {}), broker, said.append, asyncio.Event(), up._topics)
    file.write_text(file.read_text().replace("north", "south"))
    await up._prepare(load(file, {}), broker, said.append, asyncio.Event(), up._topics)

    assert said[-1] == "registered, but not in the file: north; they run too (gantry cameras remove ID)"


def test_each_process_gets_the_file_its_own_metrics_port_and_the_kafka_that_was_named(file):
    settings = load(file, {}).settings
    got = up.programs(Path("gantry.yaml"), settings, "k:1")

    assert [p.name for p in got] == ["capture", "detect", "track", "aggregate", "serve", "dashboard"]
    assert [p.command[-3:] for p in got] == [[p.name, "--config", "gantry.yaml"] for p in got]
    first = settings.metrics.port
    assert [p.environment["GANTRY_METRICS_PORT"] for p in got] == [str(first + n) for n in range(6)]
    assert {p.environment["GANTRY_KAFKA_SERVERS"] for p in got} == {"k:1"}
    unnamed = up.programs(Path("gantry.yaml"), load(None, {}).settings, None)
    assert [p.environment["GANTRY_METRICS_PORT"] for p in unnamed][:1] == ["9101"]
    assert "GANTRY_KAFKA_SERVERS" not in unnamed[0].environment


async def test_so_many_seconds_after_all_are_up_it_ends_and_what_is_to_be_done_before_is_done(
    broker, file, listeners, capsys
):
    done = []

    async def ending():
        done.append("ending")

    code = await run(file, broker, ready=lambda: done.append("ready"), ending=ending, seconds=0.2)

    assert (code, done) == (0, ["ready", "ending"])
    assert "all processes have stopped" in capsys.readouterr().out


async def test_an_ending_that_fails_still_ends_everything(broker, file, listeners, capsys):
    async def ending():
        raise ValueError

    assert await run(file, broker, ending=ending, seconds=0.1) == 0
    assert "all processes have stopped" in capsys.readouterr().out


async def test_they_are_not_up_while_one_shows_its_metrics_but_is_not_at_work(broker, file, manner, listeners, capsys):
    manner["detect"] = ["--idle"]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(4):
            await run(file, broker)

    said = capsys.readouterr().out
    assert said.count("listens") == len(PROCESSES)
    assert "all processes are up" not in said


async def test_one_that_can_never_work_ends_all_without_their_ever_being_called_up(
    broker, file, manner, listeners, capsys
):
    manner["detect"] = ["--idle", "--ends"]
    with pytest.raises(Fatal, match="detect cannot work, 2 times in a row: there is no model"):
        await run(file, broker, Patience(first_s=0.05, mends=2, grace_s=5))

    assert "all processes are up" not in capsys.readouterr().out


def test_an_installation_without_its_model_does_not_begin(file):
    file.write_text(file.read_text() + "detect: {model: nowhere}\n")
    got = CliRunner().invoke(up.up, [str(file)], standalone_mode=False)

    assert isinstance(got.exception, Fatal)
    assert "there is no model at nowhere" in str(got.exception)
    assert "gantry models get yolov8n" in str(got.exception)


def test_an_installation_whose_model_does_not_know_what_a_scene_asks_for_does_not_begin(file):
    asks = file.read_text().replace("to: [1, 1]}", "to: [1, 1], classes: [car, tram]}")
    file.write_text(asks + "detect: {model: gantry-s}\n")
    got = CliRunner().invoke(up.up, [str(file)], standalone_mode=False)

    assert isinstance(got.exception, Fatal)
    assert "does not know what is to be counted: north: l asks for tram" in str(got.exception)
