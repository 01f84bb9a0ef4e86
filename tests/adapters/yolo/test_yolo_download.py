import hashlib
import http.server
import threading
from contextlib import contextmanager

import pytest

from pipeline.adapters.yolo.download import NAMES, PINNED, download
from pipeline.errors import Fatal, Retry

BODY = bytes(range(256)) * 4000
DIGEST = hashlib.sha256(BODY).hexdigest()


class Answers(http.server.BaseHTTPRequestHandler):
    """What a path does is in its name."""

    def do_GET(self):
        path = self.path.partition("?")[0]
        if path == "/moved.pt":
            self.send_response(302)
            self.send_header("Location", "/whole.pt")
            self.end_headers()
            return
        if path.startswith("/status/"):
            self.send_error(int(path.rpartition("/")[2]))
            return
        self.send_response(200)
        if path != "/unmeasured.pt":
            self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY[: len(BODY) // 2] if path == "/cut.pt" else BODY)

    def log_message(self, *_):
        pass


@contextmanager
def serving(handler=Answers):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def server():
    with serving() as url:
        yield url


@pytest.mark.parametrize("path", ["whole.pt", "unmeasured.pt", "moved.pt", "whole.pt?token=geheim"])
def test_a_file_that_comes_whole_is_kept_and_measured(server, tmp_path, path):
    steps = []
    got = download(
        f"{server}/{path}", tmp_path / "new" / "a.pt", progress=lambda done, total: steps.append((done, total))
    )

    assert got.path.read_bytes() == BODY
    assert (got.size, got.sha256) == (len(BODY), DIGEST)
    assert steps[-1] == (len(BODY), None if path == "unmeasured.pt" else len(BODY))
    assert [file.name for file in got.path.parent.iterdir()] == ["a.pt"]


def test_the_right_digest_is_accepted_in_either_case(server, tmp_path):
    assert download(f"{server}/whole.pt", tmp_path / "a.pt", sha256=DIGEST.upper()).sha256 == DIGEST


BROKEN = {
    "cut off": ("/cut.pt", None, Retry, f"ended after {len(BODY) // 2} of {len(BODY)} bytes"),
    "wrong digest": ("/whole.pt", "0" * 64, Fatal, f"its SHA-256 is {DIGEST}, not 0000"),
    "not there": ("/status/404", None, Fatal, "answers 404 Not Found"),
    "forbidden": ("/status/403", None, Fatal, "answers 403"),
    "busy": ("/status/503", None, Retry, "answers 503"),
}


@pytest.mark.parametrize(("path", "sha256", "error", "said"), BROKEN.values(), ids=BROKEN.keys())
def test_a_download_that_fails_keeps_nothing_and_says_why(server, tmp_path, path, sha256, error, said):
    with pytest.raises(error, match=said):
        download(f"{server}{path}", tmp_path / "a.pt", sha256=sha256)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["/cut.pt", "/status/404"])
def test_a_download_that_fails_leaves_the_older_file_as_it_was(server, tmp_path, path):
    (tmp_path / "a.pt").write_bytes(b"older")

    with pytest.raises((Retry, Fatal)):
        download(f"{server}{path}", tmp_path / "a.pt")

    assert (tmp_path / "a.pt").read_bytes() == b"older"
    assert [file.name for file in tmp_path.iterdir()] == ["a.pt"]


def test_an_interrupt_keeps_nothing(server, tmp_path):
    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(f"{server}/whole.pt", tmp_path / "a.pt", progress=interrupt)

    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_not_there_is_worth_another_try(tmp_path):
    with serving() as gone:
        pass

    with pytest.raises(Retry, match=r"cannot download .*refused"):
        download(f"{gone}/a.pt", tmp_path / "a.pt")


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://host/a.pt", "http:///a.pt", "http://user:geheim@127.0.0.1:1/a.pt"]
)
def test_an_address_that_is_not_plain_http_is_refused(url, tmp_path):
    with pytest.raises(Fatal) as caught:
        download(url, tmp_path / "a.pt")

    assert "geheim" not in str(caught.value)


def test_what_may_be_a_secret_is_in_no_message(server, tmp_path):
    with pytest.raises(Fatal) as caught:
        download(f"{server}/status/404?token=geheim", tmp_path / "a.pt")

    assert "geheim" not in str(caught.value)


def test_a_place_that_cannot_be_written_is_named(server, tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(Fatal, match=r"cannot write .*file"):
        download(f"{server}/whole.pt", tmp_path / "file" / "a.pt")


def test_every_pinned_digest_belongs_to_a_name_that_can_be_asked_for():
    assert set(PINNED) <= set(NAMES)
    assert all(len(bytes.fromhex(digest)) == 32 for digest in PINNED.values())
