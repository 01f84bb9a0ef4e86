"""The process `dashboard`, as a person starts it: it needs neither Kafka nor serve to answer."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "empty").mkdir()
    return tmp_path


def start(folder, port, **sections):
    file = folder / "gantry.yaml"
    file.write_text(f"dashboard: {{port: {port}}}\nserve: {{port: 18080}}\n")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GANTRY_")}
    path = folder / "dashboard.log"
    with path.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "workers.gantry", "dashboard", "--config", str(file)],
            cwd=folder / "empty",
            env=environment | {"PYTHONPATH": str(ROOT)} | sections,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    process.said = path.read_text
    return process


def until_up(url, process):
    for _ in range(600):
        assert process.poll() is None, process.said()
        try:
            return httpx.get(f"{url}/healthz").raise_for_status().json()
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError("the page is not up")


@pytest.fixture
def running(folder, unused_tcp_port_factory):
    port, metrics = unused_tcp_port_factory(), unused_tcp_port_factory()
    process = start(folder, port, GANTRY_METRICS_PORT=str(metrics))
    process.url, process.metrics = f"http://127.0.0.1:{port}", metrics
    try:
        assert until_up(process.url, process) == {"alive": True}
        yield process
    finally:
        process.kill()
        process.wait()


def test_its_pages_name_nobody_elsewhere_and_know_where_serve_is(running):
    for path in ("/", "/cameras/main-street"):
        answer = httpx.get(running.url + path)

        assert answer.status_code == 200
        assert "18080" in answer.text
        assert "https://" not in answer.text.replace("https://www.w3.org", "")
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_an_address_that_is_not_there_is_a_404_with_a_way_back(running):
    answer = httpx.get(f"{running.url}/some/where")

    assert answer.status_code == 404
    assert "There is nothing at this address" in answer.text
    assert "HTTPException" not in answer.text
    assert httpx.get(f"{running.url}/_nicegui/3/nothing").status_code == 404


def test_a_name_from_the_address_is_never_markup(running):
    answer = httpx.get(f"{running.url}/cameras/%3Cscript%3Ealert(1)%3C%2Fscript%3E")
    other = httpx.get(f"{running.url}/cameras/%3Cscript%3Ealert(1)")

    assert "<script>alert(1)" not in answer.text + other.text


def test_a_proxy_that_puts_it_below_another_address_is_followed(running):
    answer = httpx.get(f"{running.url}/", headers={"X-Forwarded-Prefix": "/traffic"})

    assert "/traffic/_nicegui/" in answer.text
    assert '"/traffic/"' in answer.text.replace("\\u0022", '"')


def test_a_header_that_is_no_address_is_no_part_of_the_page(running):
    answer = httpx.get(f"{running.url}/", headers={"X-Forwarded-Prefix": '/a" onmouseover="alert(1)'})

    assert answer.status_code == 200
    assert 'onmouseover="' not in answer.text.replace('\\"', '"')


def test_its_metrics_are_shown_and_one_signal_ends_it_while_a_page_is_open(running, folder):
    page = httpx.get(f"http://127.0.0.1:{running.metrics}/metrics").text
    assert "process_start_time_seconds" in page
    httpx.get(f"{running.url}/cameras/a")
    page = httpx.get(f"http://127.0.0.1:{running.metrics}/metrics").text
    assert 'gantry_dashboard_pages_total{page="camera"} 1.0' in page
    with socket.create_connection(("127.0.0.1", int(running.url.rpartition(":")[2]))) as held:
        held.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        held.recv(100)
        begun = time.monotonic()
        running.send_signal(signal.SIGTERM)

        assert running.wait(30) == 0
        assert time.monotonic() - begun < 20
    said = running.said()
    assert "the page is at http://127.0.0.1:" in said
    assert "Traceback" not in said
    assert list((folder / "empty").iterdir()) == [], "it leaves nothing behind"


def test_a_port_that_is_taken_is_a_matter_for_a_person(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = start(folder, taken.getsockname()[1])
        assert process.wait(60) == 78
    said = process.said()

    assert "the page cannot listen on 127.0.0.1:" in said
    assert "choose another dashboard.port, or end what uses it" in said
    assert "Traceback" not in said
