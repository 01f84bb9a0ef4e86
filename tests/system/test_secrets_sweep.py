"""No password of a camera is in anything that gantry writes or shows: logs, topics, metrics, answers, files, command lines."""

import asyncio
import base64
import hashlib
import json
import uuid
from pathlib import Path
from urllib.parse import quote, quote_plus

import httpx
import psutil
import pytest
import yaml
from aiokafka.admin import AIOKafkaAdminClient

from tests.system.installation import PROCESSES, Installation, until
from tests.system.logs import Log
from tests.system.rtsp import serving, why_not
from tests.system.truth import SCENES

USER = "gate-keeper"
PASSWORD = "S3cret:Passw0rd/with%odd@signs+&#"  # needs percent-encoding everywhere
WRONG = "Wr0ng:Passw0rd/with%odd@signs"
SLOW_S = 120
NAME = "highway_nl_1280x720"
PAGES = (
    "/api/v1/cameras", "/api/v1/cameras/gate", "/api/v1/cameras/nobody", "/api/v1/groups", "/api/v1/events?limit=500",
    "/api/v1/flow?limit=500", "/api/v1/openapi.json", "/openapi.json", "/healthz", "/readyz", "/metrics",
)  # fmt: skip


def spellings(user, password):
    """How somebody who has the password might write it: {how: bytes, in small letters}."""
    pair = f"{user}:{password}"
    found = {}
    for name, text in (("password", password), ("user:password", pair)):
        found |= {
            f"{name} as it is": text,
            f"{name} percent-encoded": quote(text, safe=""),
            f"{name} percent-encoded but for /": quote(text),
            f"{name} as in a form": quote_plus(text),
            f"{name} percent-encoded twice": quote(quote(text, safe=""), safe=""),
            f"{name} in JSON": json.dumps(text)[1:-1],
            f"{name} in hexadecimal": text.encode().hex(),
            f"{name} reversed": text[::-1],
            f"{name} in UTF-16": text.encode("utf-16-le").decode("latin-1"),
            f"{name}, MD5": hashlib.md5(text.encode()).hexdigest(),
            f"{name}, SHA-256": hashlib.sha256(text.encode()).hexdigest(),
        }
        for at in range(3):  # base64 of a longer text in which it begins at any place
            inner = base64.b64encode(b"\0" * at + text.encode())[4 if at else 0 : -4].decode()
            found[f"{name} in base64, {at} beyond a third byte"] = inner
            found[f"{name} in URL-safe base64, {at} beyond a third byte"] = inner.replace("+", "-").replace("/", "_")
    found["quoted user:password"] = f"{quote(user)}:{quote(password, safe='')}"
    return {how: text.encode("latin-1").lower() for how, text in found.items()}


def leaks(written):
    """Where a secret is in {place: bytes or text}, and how it is spelt there."""
    needles = spellings(USER, PASSWORD) | {f"wrong {how}": x for how, x in spellings(USER, WRONG).items()}
    found = []
    for place, data in written.items():
        small = (data if isinstance(data, bytes) else data.encode()).lower()
        found += [f"{place}: {how}" for how, needle in needles.items() if needle in small]
    return found


class Sweep:
    """Collects everything written and shown, as often as it is asked."""

    def __init__(self, house):
        self.house, self.written = house, {}

    def add(self, place, data):
        self.written[f"{place} #{len(self.written)}"] = data

    def look(self):
        """What can be seen only while the processes run."""
        for name, port in self.house.metrics.items():
            if name in self.house.processes:
                self.add(f"metrics of {name}", httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=20).content)
        for page in PAGES:
            answer = httpx.get(f"http://127.0.0.1:{self.house.port}{page}", timeout=20)
            self.add(page, str(answer.headers).encode() + answer.content)
        self.add("the live feed", self._stream())
        for process in self.house.processes.values():
            for each in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
                self.add(f"command line of {each.pid}", Path(f"/proc/{each.pid}/cmdline").read_bytes())
        self.add("cameras list", self.house.gantry("cameras", "list", "--config", str(self.house.file))[1])

    def _stream(self):
        with httpx.stream("GET", f"http://127.0.0.1:{self.house.port}/api/v1/stream", timeout=20) as answer:
            out = b""
            for chunk in answer.iter_bytes():
                out += chunk
                if b"event: snapshot" in out.replace(b"event:snapshot", b"event: snapshot") and len(out) > 500:
                    return out
        return out

    def read_topics(self):
        for topic in self.house.topics.specs:
            for record in Log(self.house, topic).read():
                self.add(f"{topic} {record.partition} {record.offset} key", record.key or b"")
                self.add(f"{topic} {record.partition} {record.offset} value", record.value or b"")
                self.add(f"{topic} {record.partition} {record.offset} headers", str(record.headers))

    def read_files(self):
        for path in sorted(self.house.folder.rglob("*")):
            if path.is_file():
                self.add(f"file {path.name}", path.read_bytes())

    def places(self, word):
        return [place for place in self.written if place.startswith(word)]


def test_the_sweep_finds_every_spelling_in_every_kind_of_place():
    """Planted in a scratch log: a sweep that finds nothing proves something only if it can find."""
    basic = base64.b64encode(f"Authorization {USER}:{PASSWORD}".encode())
    planted = {
        "log": f"cannot open rtsp://{USER}:{quote(PASSWORD, safe='')}@host/1",
        "header": b"Authorization: Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()),
        "longer header": basic,
        "bytes": b"\0\1" + WRONG.encode() + b"\0",
        "small letters": quote(PASSWORD, safe="").lower(),
        "json": json.dumps({"source": f"rtsp://{USER}:{PASSWORD}@h"}),
        "binary": PASSWORD.encode("utf-16-le"),
        "nothing": "rtsp://***@host/1 ${env:CAM_PASSWORD} gate-keeper",
    }

    found = leaks(planted)

    assert {place.partition(":")[0] for place in found} == set(planted) - {"nothing"}
    for how, needle in spellings(USER, PASSWORD).items():
        assert any(f": {how}" in leak for leak in leaks({"scratch": b"before " + needle + b" after"})), how


@pytest.mark.kafka
@pytest.mark.rtsp
@pytest.mark.footage
@pytest.mark.timeout(600)
def test_a_cameras_password_is_in_nothing_that_is_written_or_shown(kafka, footage, model, tmp_path):
    """The right password, then a wrong one, then a server that is gone; debugging all the while."""
    if reason := why_not():
        pytest.skip(reason)
    prefix = f"x{uuid.uuid4().hex[:8]}."
    with serving({"gate": footage / f"videos/{NAME}.mp4"}, user=USER, password=PASSWORD) as server:
        house = Installation(
            tmp_path, kafka.servers, prefix, model=model,
            cameras={"gate": {"source": server.url("gate", "${env:CAM_USER}:${env:CAM_PASSWORD}"), "fps": 5}},
            scenes={"gate": yaml.safe_load((SCENES / f"{NAME}.yaml").read_text())},
            capture={"backoff_most_s": 2.0},
            environment={"CAM_USER": USER, "CAM_PASSWORD": PASSWORD, "GANTRY_DEBUG": "1"},
        )  # fmt: skip
        sweep = Sweep(house)
        try:
            for words in (
                ("topics", "apply", "--config", house.file),
                ("cameras", "apply", house.file),
                ("scenes", "apply", house.file),
            ):
                sweep.add(f"command {words[0]}", house.gantry(*map(str, words))[1])
            refuse_plain_credentials(house, sweep, server)
            house.start(*PROCESSES)
            until(lambda: house.alive() and Log(house, "events").read(), seconds=SLOW_S, what="an event")
            assert "camera gate: live" in house.said("capture")
            sweep.look()

            house.stop("capture")
            house.environment["CAM_PASSWORD"] = WRONG
            house.start("capture")
            until(
                lambda: house.alive() and "wrong user name or password" in house.said("capture"),
                seconds=SLOW_S,
                what="a refusal",
            )
            sweep.look()

            house.stop("capture")
            house.environment["CAM_PASSWORD"] = PASSWORD
            house.start("capture")
            until(
                lambda: house.alive() and house.said("capture").count("camera gate: live") == 2,
                seconds=SLOW_S,
                what="live again",
            )
        except BaseException:
            house.close()
            raise
    try:
        until(
            lambda: house.alive() and "connection refused" in house.said("capture"),
            seconds=SLOW_S,
            what="the server missed",
        )
        sweep.look()
        house.stop(*PROCESSES)
        sweep.read_topics()
        sweep.read_files()
        mine = {name for name in asyncio.run(topics_of(kafka.servers)) if name.startswith(prefix)}
    finally:
        house.close()

    assert leaks(sweep.written) == []
    (tmp_path / "scratch.log").write_text(f"opens {server.url('gate', f'{USER}:{quote(PASSWORD, safe=str())}')}")
    sweep.read_files()
    assert {leak.partition(" #")[0] for leak in leaks(sweep.written)} == {"file scratch.log"}, (
        "a planted secret is found"
    )
    assert mine == {house.topics.name(t) for t in house.topics.specs}, "every topic was read"
    topics = ("cameras", "scenes", "epochs", "frames", "detections", "tracks", "track-state", "events")
    shown = (
        "file gantry.db",
        "file capture.log",
        "metrics of capture",
        "the live feed",
        "command line",
        "cameras list",
    )
    assert [word for word in (*topics, *shown) if not sweep.places(f"{word} ")] == [], "something of each was swept"
    assert "rtsp://***@127.0.0.1" in "".join(str(v) for k, v in sweep.written.items() if k.startswith("cameras list"))


async def topics_of(servers):
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        return await admin.list_topics()
    finally:
        await admin.close()


def refuse_plain_credentials(house, sweep, server):
    """What is refused must not be repeated either."""
    plain = house.folder / "plain.yaml"
    url = server.url("gate", f"{USER}:{quote(WRONG, safe='')}")
    plain.write_text(
        house.file.read_text().replace("${env:CAM_USER}:${env:CAM_PASSWORD}", f"{USER}:{quote(WRONG, safe='')}")
    )
    for words in (
        ("cameras", "apply", plain),
        ("capture", "--config", plain),
        ("up", plain),
        ("count", url, "--scene", plain, "--model", "m"),
    ):
        code, said = house.gantry(*map(str, words), check=False)
        assert code not in {0, None}
        sweep.add(f"command {words[0]} refused", said)
    plain.unlink()
