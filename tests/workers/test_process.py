"""One process: its log lines, its signals, its exit codes, its metrics page."""

import logging
import os
import re
import signal
import subprocess
import sys
import textwrap
import urllib.request

import pytest
import yaml

from pipeline.core.model import Size
from workers.saying import OneLine, told
from workers.supervisor import own_command

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [A-Z]+ [a-z.]+: \S.*")


def started(body, **environ):
    """A process whose stage is `body`; `process` and the usual modules are there."""
    code = (
        "import asyncio, logging, os, sys, threading, time\n"
        "from pipeline.config import Settings, MetricsSettings\n"
        "from pipeline.errors import Fatal, Retry, Poison\n"
        "from workers.process import run\n"
        "async def main(process):\n" + textwrap.indent(textwrap.dedent(body), "    ") + "\n"
        "port = int(os.environ.get('PORT', '0')) or None\n"
        "sys.exit(run('capture', main, Settings(metrics=MetricsSettings(port=port))))\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={k: v for k, v in os.environ.items() if k != "GANTRY_DEBUG"} | environ,
    )


def ended(process):
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err.splitlines()


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ("pass", 0, "INFO capture: is done"),
        (
            "raise Fatal('topic frames is missing; run: gantry topics apply')",
            78,
            "ERROR capture: topic frames is missing",
        ),
        ("raise Fatal('rtsp://u:hunter2@h/1: no such host')", 78, "ERROR capture: rtsp://***@h/1: no such host"),
        ("raise Fatal('one\\ntwo')", 78, "ERROR capture: one | two"),
        ("raise Retry('no broker answers')", 75, "ERROR capture: no broker answers"),
        ("raise Poison('bad')", 75, "ERROR capture: bad"),
        ("[][1]", 70, "CRITICAL capture: unexpected IndexError: list index out of range at"),
        ("raise ValueError('rtsp://u:hunter2@h/1')", 70, "CRITICAL capture: unexpected ValueError: rtsp://***@h/1"),
    ],
)
def test_every_end_is_one_line_and_an_exit_code(body, code, said):
    got, out, lines = ended(started(body))

    assert got == code
    assert out == ""
    assert said in lines[-1]
    assert len(lines) == 2  # starts, and how it ended
    assert all(LINE.fullmatch(line) for line in lines)


def test_a_traceback_comes_only_when_asked_for():
    _, _, lines = ended(started("[][1]", GANTRY_DEBUG="1"))

    assert any("Traceback" in line for line in lines)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_asks_the_stage_to_stop(number):
    process = started("print('ready', flush=True)\nawait process.stop.wait()\nprint('tidy')")
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    code, out, lines = ended(process)

    assert (code, out) == (0, "tidy\n")
    assert [line.partition("capture: ")[2] for line in lines] == ["starts", f"{number.name}: stops", "stopped"]


def test_the_second_signal_ends_a_stage_that_does_not_stop_at_once():
    process = started(
        "print('ready', flush=True)\nawait process.stop.wait()\nprint('on', flush=True)\nawait asyncio.sleep(600)"
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "on\n"
    process.send_signal(signal.SIGTERM)
    code, _, lines = ended(process)

    assert code == 128 + signal.SIGTERM
    assert lines[-1].endswith("SIGTERM again: ends at once")


def test_a_signal_while_kafka_is_away_ends_the_wait_and_is_no_error():
    process = started("print('ready', flush=True)\nawait process.kafka()\nprint('never')", GANTRY_KAFKA_SERVERS="x")
    assert process.stdout.readline() == "ready\n"
    waits = [process.stderr.readline(), process.stderr.readline()][1]
    process.send_signal(signal.SIGTERM)
    code, out, _ = ended(process)

    assert "waiting for it" in waits
    assert (code, out) == (0, "")


def test_what_fails_beside_the_stage_is_one_line_too():
    body = """
        def fails():
            raise ValueError('rtsp://u:hunter2@h/1')
        thread = threading.Thread(target=fails, name='decoder')
        thread.start()
        thread.join()
        logging.getLogger('gantry.capture').info('two\\nlines of rtsp://u:hunter2@h/1')
        try:
            fails()
        except ValueError:
            logging.getLogger('somelibrary').exception('it broke')
        logging.getLogger('somelibrary').info('chatter')
    """
    _, _, lines = ended(started(body))

    assert all(LINE.fullmatch(line) for line in lines)
    assert "hunter2" not in "".join(lines)
    assert "gantry: thread decoder ended: unexpected ValueError: rtsp://***@h/1" in lines[1]
    assert lines[2].endswith("INFO capture: two | lines of rtsp://***@h/1")
    assert "ERROR somelibrary: it broke: unexpected ValueError" in lines[3]
    assert len(lines) == 5


def test_the_metrics_page_is_up_while_the_stage_runs(unused_tcp_port):
    body = "process.meter.count('frames')\nprint('ready', flush=True)\nawait process.stop.wait()"
    process = started(body, PORT=str(unused_tcp_port))
    assert process.stdout.readline() == "ready\n"
    page = urllib.request.urlopen(f"http://127.0.0.1:{unused_tcp_port}/metrics", timeout=10).read().decode()
    process.send_signal(signal.SIGTERM)

    assert "gantry_capture_frames_total 1.0" in page
    assert ended(process)[0] == 0


def test_a_metrics_port_that_is_taken_is_a_matter_for_a_person(unused_tcp_port):
    first = started("print('ready', flush=True)\nawait process.stop.wait()", PORT=str(unused_tcp_port))
    assert first.stdout.readline() == "ready\n"
    code, _, lines = ended(started("pass", PORT=str(unused_tcp_port)))
    first.send_signal(signal.SIGTERM)

    assert code == 78
    assert "metrics.port" in lines[-1]
    assert ended(first)[0] == 0


def test_the_clock_tells_utc_and_never_goes_back():
    code, out, _ = ended(
        started(
            "a, b = process.clock.now_ms(), process.clock.monotonic()\nawait process.clock.sleep(0)\nprint(abs(a - time.time() * 1000) < 5000, process.clock.monotonic() >= b)"
        )
    )

    assert (code, out) == (0, "True True\n")


def test_a_log_line_of_many_lines_becomes_one():
    record = logging.LogRecord("gantry.track", logging.INFO, "f", 1, "a\n  b\n\nc %s", ("d",), None)

    assert OneLine().format(record).endswith("INFO track: a | b | c d")


def test_an_unexpected_error_is_told_with_the_place_in_our_code():
    with pytest.raises(ValueError, match="a size is written") as caught:
        Size.parse("x")

    assert re.search(r"unexpected ValueError: a size is written .* at core/model.py:\d+ ", told(caught.value))


@pytest.mark.kafka
@pytest.mark.parametrize("name", ["capture", "detect", "track", "aggregate", "serve"])
def test_no_process_begins_where_a_topic_has_another_number_of_partitions(name, kafka, topics, tmp_path):
    """Its records would go where nobody seeks them: it ends, and a person reads the topic and both numbers."""
    file = tmp_path / "gantry.yaml"
    sizes = {"frames": topics.sizes.frames, "shards": topics.sizes.shards + 2, "capture_shards": 4}
    file.write_text(
        yaml.safe_dump(
            {
                "kafka": {"servers": kafka.servers, "prefix": topics.prefix, "sizes": sizes},
                "detect": {"model": "gantry-s"},
                "serve": {"database": str(tmp_path / "gantry.db")},
            }
        )
    )
    process = subprocess.Popen(
        own_command(name, "--config", str(file)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )

    code, _, lines = ended(process)

    assert code == 78
    wrong = topics.sizes.shards
    assert f"topic {topics.prefix}detections has {wrong} partitions, it should have {wrong + 2}" in lines[-1]
    assert all(LINE.fullmatch(line) for line in lines)
