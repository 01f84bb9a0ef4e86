import asyncio
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from pipeline.adapters import serve_client
from pipeline.core.model import Way
from pipeline.errors import Fatal, Retry
from pipeline.evaluate.run import events_of
from tests.adapters.test_http import running


async def asked(api, camera="a", from_ms=0, to_ms=100_000):
    url = f"http://127.0.0.1:{api.port}"
    return await asyncio.to_thread(lambda: list(serve_client.events(url, camera, from_ms=from_ms, to_ms=to_ms)))


async def test_all_events_of_the_span_come_page_by_page_oldest_first(tmp_path, monkeypatch):
    monkeypatch.setattr(serve_client, "PAGE", 3)
    async with running(tmp_path / "h.db") as api:
        await api.hand.city()
        await api.hand.events(*range(1, 12))
        await api.service.stored(11)
        rows = await asked(api, from_ms=2_000, to_ms=11_000)

        assert [row["captured_ms"] for row in rows] == [1000 * n for n in range(2, 11)]
        (first, *_) = events_of(rows, "api")
        assert (first.line, first.direction, first.label, first.track) == ("main", Way.TO_RIGHT, "car", "0-2-0")


async def test_what_the_api_refuses_is_told_in_its_own_words(tmp_path):
    async with running(tmp_path / "h.db") as api:
        with pytest.raises(Fatal, match=r"from .* is later than to"):
            await asked(api, from_ms=2, to_ms=1)


@contextmanager
def answering(body, code=200):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(code)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("body", "code", "error", "told"),
    [
        (b"<html>", 200, Fatal, "no gantry"),
        (b"[]", 200, Fatal, "no gantry"),
        (b'{"items": 3}', 200, Fatal, "no gantry"),
        (b"<html>", 404, Fatal, "Not Found"),
        (b'{"detail": "come later"}', 503, Retry, "come later"),
    ],
)
def test_an_answer_that_is_none_is_told(body, code, error, told):
    with answering(body, code) as url, pytest.raises(error, match=told):
        list(serve_client.events(url, "a", from_ms=0, to_ms=1))


def test_nobody_at_home_is_told():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(Retry, match="nobody answers there"):
            list(serve_client.events(url, "a", from_ms=0, to_ms=1))


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://a/b", "http://"])
def test_only_web_addresses_are_asked(url):
    with pytest.raises(Fatal, match="http://host:8080"):
        list(serve_client.events(url, "a", from_ms=0, to_ms=1))
