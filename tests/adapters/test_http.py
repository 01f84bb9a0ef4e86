"""The API, by a real server and real clients."""

import asyncio
import contextlib
import json
import logging
import re
import socket
from collections import Counter
from urllib.parse import urlencode

import httpx
import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.adapters.http import http_app, run_http
from pipeline.adapters.http import server as server_module
from pipeline.adapters.metrics import PrometheusMeter
from pipeline.core.credentials import without_credentials
from pipeline.errors import Fatal, Retry
from pipeline.stages.serve import TrueCounts
from tests.stages.serving import Hand, crossing, served, small_broker, tracks, window

PROBLEM = "application/problem+json"
ONE = "/api/v1/cameras/a"
PATHS = [
    "/api/v1/cameras",
    ONE,
    f"{ONE}/picture",
    "/api/v1/groups",
    "/api/v1/events",
    "/api/v1/flow",
    "/api/v1/counts",
    "/api/v1/stream",
    "/api/v1/truth",
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
]


class BothMeters(PrometheusMeter):
    """A real meter that the harness can look into, too."""

    def __init__(self):
        super().__init__("serve")
        self.counts = Counter()

    def count(self, name, amount=1, **labels):
        super().count(name, amount, **labels)
        self.counts[name] += amount
        for value in labels.values():
            self.counts[name, value] += amount


class Api(httpx.AsyncClient):
    """A client of a running server, and what lies behind it."""

    def __init__(self, service, hand, broker, port, ended):
        super().__init__(base_url=f"http://127.0.0.1:{port}", timeout=20)
        self.service, self.hand, self.broker, self.port, self.ended = service, hand, broker, port, ended

    async def items(self, path, **query):
        answer = await self.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()["items"]


@contextlib.asynccontextmanager
async def running(path, *, broker=None, away=False, origins=(), truths=None, port=0, **policy):
    broker, meter, stop = broker or small_broker(), BothMeters(), asyncio.Event()
    async with contextlib.AsyncExitStack() as stack:
        writer = await stack.enter_async_context(broker.writer())
        broker.away = away
        service = await stack.enter_async_context(served(broker, path, meter=meter, **policy))
        app = http_app(
            feed=service.feed,
            history=service.history,
            pictures=service.pictures,
            truths=truths or TrueCounts({}, None, service.history),
            meter=meter,
            redact=without_credentials,
            origins=origins,
        )
        listening = asyncio.get_running_loop().create_future()
        server = asyncio.ensure_future(run_http(app, "127.0.0.1", port, stop, listening=listening.set_result))

        async def ended():
            service.stop.set()
            stop.set()
            await asyncio.wait_for(server, 10)

        try:
            async with Api(service, Hand(writer), broker, await listening, ended) as api:
                yield api
        finally:
            await ended()


@pytest.fixture
async def api(tmp_path):
    async with running(tmp_path / "h.db") as api:
        await api.hand.city()
        await api.service.until(lambda: len(api.service.feed.groups()) == 1 and api.service.feed.camera("a").scene)
        await api.hand.place("a", 1)
        await api.hand.picture(1, partition=1)
        yield api


class Stream:
    """An EventSource, as the HTML standard has it."""

    def __init__(self, lines):
        self.lines, self.last_id, self.retry, self.comments = lines, "", None, 0

    async def next(self):
        """(event, data) of the next message."""
        event, data, buffer_id = "message", [], self.last_id
        async with asyncio.timeout(20):
            async for line in self.lines:
                if line == "":
                    self.last_id = buffer_id
                    if data:
                        return event, json.loads("\n".join(data))
                    event = "message"
                    continue
                name, _, value = line.partition(":")
                value = value.removeprefix(" ")
                if name == "":
                    self.comments += 1
                elif name == "event":
                    event = value
                elif name == "data":
                    data.append(value)
                elif name == "id":
                    buffer_id = value
                elif name == "retry":
                    self.retry = int(value)
        raise EOFError


@contextlib.asynccontextmanager
async def listening(api, last_id=None, **query):
    headers = {"Last-Event-ID": last_id} if last_id else {}
    async with api.stream("GET", "/api/v1/stream", params=query, headers=headers) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Stream(answer.aiter_lines())


async def numbers(stream, count):
    got = [await stream.next() for _ in range(count)]
    assert {event for event, _ in got} == {"event"}
    return [data["captured_ms"] // 1000 for _, data in got]


# --- questions


async def test_cameras_and_groups_are_shown_without_any_secret(api):
    cameras = await api.items("/api/v1/cameras")
    assert [(c["id"], c["state"], c["groups"], c["lines"]) for c in cameras] == [
        ("a", "unknown", ["g"], ["main"]),
        ("b", "unknown", ["g"], []),
    ]
    one = (await api.get("/api/v1/cameras/a")).json()
    assert one["scene"]["lines"][0]["from"] == [0.1, 0.5]
    assert one["source"] == "rtsp://***@host/a"
    assert [g["members"] for g in await api.items("/api/v1/groups")] == [["a", "b"]]
    async with listening(api) as stream:
        _, snapshot = await stream.next()
    for text in (str(cameras), str(one), str(snapshot)):
        assert "hunter2" not in text


async def test_events_are_filtered_and_paged_to_the_last_one(api):
    for n in range(7):
        await api.hand.event(crossing(n, camera="ab"[n % 2]))
    await api.hand.event(crossing(7, camera="c", direction="to_left", label="bus", line="side"))
    await api.service.stored(8)

    async def seen(**query):
        return [e["captured_ms"] // 1000 for e in await api.items("/api/v1/events", **query)]

    assert await seen() == [7, 6, 5, 4, 3, 2, 1, 0]
    assert await seen(order="oldest", limit=2) == [0, 1]
    assert await seen(camera="a") == [6, 4, 2, 0]
    assert await seen(camera=["a", "c"]) == [7, 6, 4, 2, 0]
    assert await seen(group="g") == [6, 5, 4, 3, 2, 1, 0]
    assert await seen(direction="to_left") == await seen(**{"class": "bus"}) == await seen(line="side") == [7]
    assert await seen(**{"from": 2000, "to": "1970-01-01T00:00:04Z"}) == [3, 2]
    assert await seen(**{"from": "1970-01-01T01:00:06.500+01:00"}) == [7]
    assert await seen(**{"from": 5000, "to": 5000}) == []

    query, got = {"limit": 3}, []
    while True:
        page = (await api.get("/api/v1/events", params=query)).json()
        got += [e["captured_ms"] // 1000 for e in page["items"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert got == [7, 6, 5, 4, 3, 2, 1, 0]
    [event] = (await api.get("/api/v1/events", params={"limit": 1})).json()["items"]
    assert event["type"] == "crossing"
    assert event["class"] == "bus"


async def test_flow_is_found_by_camera_by_group_and_by_length(api):
    await api.hand.flow(window(1))
    await api.hand.flow(window(2, window_ms=60_000))
    await api.hand.flow(window(3, place="g", kind="group", members=1, members_expected=2))
    await api.service.until(lambda: api.service.meter.counts["stored", "flow"] == 3)

    async def seen(**query):
        return [f["start_ms"] // 30_000 for f in await api.items("/api/v1/flow", **query)]

    assert await seen() == [3, 2, 1]
    assert await seen(camera="a") == [2, 1]
    assert await seen(group="g") == [3]
    assert await seen(camera="a", group="g", order="oldest") == [1, 2, 3]
    assert await seen(window_ms=60_000) == [2]


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/api/v1/events?limit=0", 400, "query.limit"),
        ("/api/v1/events?limit=1001", 400, "query.limit"),
        ("/api/v1/events?limit=ten", 400, "query.limit"),
        ("/api/v1/events?limit=", 400, "query.limit"),
        ("/api/v1/events?limit=1&limit=2", 400, "given twice"),
        ("/api/v1/events?color=red", 400, "known are camera, class"),
        ("/api/v1/events?direction=up", 400, "there are to_right, to_left"),
        ("/api/v1/events?order=best", 400, "there are newest, oldest"),
        ("/api/v1/events?from=yesterday", 400, "query.from: 'yesterday' is no time"),
        ("/api/v1/events?to=2026-02-30T00:00:00Z", 400, "query.to"),
        ("/api/v1/events?to=2026-02-03T00:00:00", 400, "RFC 3339 with an offset"),
        ("/api/v1/events?from=99999999999999999999", 400, "query.from"),
        ("/api/v1/events?from=2&to=1", 400, "later than to"),
        ("/api/v1/events?cursor=abc", 400, "begin without it"),
        ("/api/v1/events?camera=nobody", 404, "there is no camera 'nobody'"),
        ("/api/v1/events?group=nobody", 404, "there is no group 'nobody'"),
        ("/api/v1/flow?camera=a&camera=nobody", 404, "there is no camera 'nobody'"),
        ("/api/v1/flow?group=nobody", 404, "there is no group 'nobody'"),
        ("/api/v1/flow?window_ms=0", 400, "query.window_ms"),
        ("/api/v1/cameras/nobody", 404, "see /api/v1/cameras"),
        ("/api/v1/cameras/nobody/picture", 404, "see /api/v1/cameras"),
        ("/api/v1/cameras/b/picture", 404, "no picture of camera 'b' came within 1 s"),
        ("/api/v1/cameras/a/picture?epoch=0&seq=0", 404, "query.seq: picture 0-0 of camera 'a' is not kept (any more)"),
        ("/api/v1/cameras/a/picture?epoch=0&seq=9", 404, "no picture of camera 'a' came within 1 s"),
        ("/api/v1/cameras/a/picture?epoch=0", 400, "query.seq: epoch and seq name a picture together: give both"),
        ("/api/v1/cameras/a/picture?seq=0", 400, "query.epoch: epoch and seq"),
        ("/api/v1/cameras/a/picture?epoch=0&seq=-1", 400, "query.seq"),
        ("/api/v1/cameras/a/picture?epoch=x&seq=1", 400, "query.epoch"),
        ("/api/v1/cameras/a/picture?at=1", 400, "known are epoch, seq"),
        ("/api/v1/counts?camera=nobody", 404, "there is no camera 'nobody'"),
        ("/api/v1/counts?group=nobody", 404, "there is no group 'nobody'"),
        ("/api/v1/counts?from=2&to=1", 400, "later than to"),
        ("/api/v1/counts?line=main", 400, "known are camera, from, group, to"),
        ("/api/v1/cameras?x=1", 400, "this address has none"),
        ("/api/v1/stream?kinds=snapshot", 400, "there are event, flow, tracks"),
        ("/api/v1/stream?camera=nobody", 404, "there is no camera"),
        ("/api/v1/stream?token=nonsense", 400, "query.token"),
        ("/api/v1", 404, "/openapi.json"),
        ("/", 404, "/openapi.json"),
    ],
)
async def test_a_wrong_question_is_a_problem_that_says_what_where_and_what_to_do(api, path, status, says):
    answer = await api.get(path)

    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)
    problem = answer.json()
    assert (problem["status"], problem["instance"]) == (status, path.partition("?")[0])
    assert says in problem["detail"]
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("path", PATHS)
async def test_head_and_options_are_answered_and_other_methods_are_not(api, path):
    head = await api.head(path)
    assert (head.status_code, head.content) == (200, b"")
    options = await api.options(path)
    assert (options.status_code, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        answer = await api.request(method, path)
        assert (answer.status_code, answer.headers["content-type"]) == (405, PROBLEM)
        assert answer.headers["allow"] == "GET, HEAD, OPTIONS"


async def test_a_body_or_a_head_that_is_too_large_is_refused(api):
    answer = await api.request("GET", "/api/v1/events", content=b"x" * 70_000)
    assert (answer.status_code, answer.headers["content-type"]) == (413, PROBLEM)
    assert (await api.get("/api/v1/events?line=" + "x" * 40_000)).status_code in {400, 414, 431}
    assert (await api.get("/healthz")).status_code == 200


NAMES = st.sampled_from(
    ["camera", "group", "line", "direction", "class", "from", "to", "order", "limit", "cursor", "window_ms", "token"]
) | st.text(max_size=8)
VALUES = (
    st.text(max_size=30)
    | st.integers().map(str)
    | st.datetimes().map(lambda t: t.isoformat())
    | st.sampled_from(["a", "g", "to_left", "newest", "1e3", "-1", "0x10", "NaN", "\x00", "é", "%", "null", "[]"])
)


async def test_whatever_is_asked_the_answer_is_items_or_a_problem(tmp_path):
    async with running(tmp_path / "h.db") as api:
        await api.hand.city()
        await api.hand.events(1, 2, 3)
        await api.service.stored(3)

        asked = asyncio.Queue()
        answers = asyncio.Queue()

        async def answer():
            while True:
                url = await asked.get()
                await answers.put(await api.get(url))

        loop, answering = asyncio.get_running_loop(), asyncio.ensure_future(answer())

        @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
        @given(
            st.sampled_from(
                ["/api/v1/events", "/api/v1/flow", "/api/v1/counts", "/api/v1/cameras", "/api/v1/groups", "/healthz"]
            ),
            st.lists(st.tuples(NAMES, VALUES), max_size=4),
        )
        def ask(path, query):
            url = f"{path}?{urlencode(query, errors='surrogatepass')}"
            asyncio.run_coroutine_threadsafe(asked.put(url), loop).result(20)
            got = asyncio.run_coroutine_threadsafe(answers.get(), loop).result(20)
            assert got.status_code in {200, 400, 404}, (url, got.text)
            assert got.headers["content-type"] == ("application/json" if got.status_code == 200 else PROBLEM)
            got.json()

        await asyncio.to_thread(ask)
        answering.cancel()


async def test_crossings_are_counted_by_line_direction_and_class(api):
    await api.hand.events(1, 2, 2)
    await api.hand.event(crossing(3, direction="to_left", label="bus"))
    await api.hand.event(crossing(4, camera="b"), partition=1)
    await api.service.stored(4)

    assert await api.items("/api/v1/counts", camera="a") == [
        {"camera": "a", "line": "main", "direction": "to_left", "class": "bus", "count": 1},
        {"camera": "a", "line": "main", "direction": "to_right", "class": "car", "count": 2},
    ]
    assert [item["count"] for item in await api.items("/api/v1/counts", group="g", **{"from": 2000, "to": 4001})] == [
        1,
        1,
        1,
    ]


# --- pictures


async def test_a_picture_says_which_it_is_and_can_be_asked_for_by_that(api):
    await api.hand.picture(2, b"\xff\xd8 two", partition=1)
    newest = await api.get(f"{ONE}/picture")
    while newest.headers["gantry-seq"] == "1":
        newest = await api.get(f"{ONE}/picture")
    first = await api.get(f"{ONE}/picture?epoch=0&seq=1")

    assert (newest.content, newest.headers["content-type"]) == (b"\xff\xd8 two", "image/jpeg")
    assert {k: v for k, v in newest.headers.items() if k.startswith("gantry-")} == {
        "gantry-epoch": "0",
        "gantry-seq": "2",
        "gantry-captured-ms": "2000",
        "gantry-clock": "rtcp",
        "gantry-size": "640x352",
    }
    assert newest.headers["cache-control"] == "no-store"
    assert (first.content, first.headers["gantry-captured-ms"]) == (b"jpeg 1", "1000")


async def test_a_simulated_camera_without_pixels_is_said_to_have_none(api):
    await api.hand.place("b", 0)
    await api.hand.boxes(1, camera="b")

    answer = await api.get("/api/v1/cameras/b/picture")

    assert answer.status_code == 404
    assert "camera 'b' has no pixels" in answer.json()["detail"]


# --- pages elsewhere


async def test_a_browser_lets_only_the_named_pages_read_what_is_answered(tmp_path):
    ours, other = {"Origin": "http://localhost:8081"}, {"Origin": "http://localhost:80810"}
    async with running(tmp_path / "h.db", origins=["http://localhost:8081", "https://traffic.example"]) as api:
        for path, status in (("/api/v1/cameras", 200), ("/api/v1/cameras/nobody", 404), ("/api/v1/stream", 200)):
            async with api.stream("GET", path, headers=ours) as answer:
                assert answer.status_code == status
                assert answer.headers["access-control-allow-origin"] == ours["Origin"]
                assert answer.headers["vary"] == "Origin"
                assert "Gantry-Seq" in answer.headers["access-control-expose-headers"]
            async with api.stream("GET", path, headers=other) as answer:
                assert "access-control-allow-origin" not in answer.headers
        asked = await api.options("/api/v1/cameras", headers=other | {"Access-Control-Request-Method": "GET"})
        assert asked.status_code == 400


async def test_without_named_pages_none_may_read(api):
    answer = await api.get("/api/v1/cameras", headers={"Origin": "http://localhost:8081"})

    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("access-control")]


# --- the description


async def test_the_description_is_openapi_and_every_address_in_it_answers_as_it_says(api):
    await api.hand.events(1, 2)
    await api.hand.flow(window(1))
    await api.hand.tracks(tracks(1))
    await api.service.stored(2)
    await api.service.until(lambda: api.service.feed.camera("a").state == "live")
    described = (await api.get("/openapi.json")).json()
    assert described["openapi"].startswith("3.1")
    assert sorted(described["paths"]) == sorted(p.replace(ONE, "/api/v1/cameras/{camera_id}") for p in PATHS)

    def schema_of(operation, status, kind):
        schema = operation["responses"][str(status)]["content"][kind]["schema"]
        whole = {"components": described["components"], **schema}
        jsonschema.Draft202012Validator.check_schema(whole)
        return jsonschema.Draft202012Validator(whole)

    for path, item in described["paths"].items():
        assert set(item) == {"get"}
        operation = item["get"]
        bad = await api.get(path.replace("{camera_id}", "a"), params={"no-such-parameter": 1})
        assert bad.status_code == 400
        schema_of(operation, 400, PROBLEM).validate(bad.json())
        if path == "/api/v1/stream":
            assert list(operation["responses"]["200"]["content"]) == ["text/event-stream"]
            continue
        answer = await api.get(path.replace("{camera_id}", "a"))
        assert answer.status_code == 200
        kind = answer.headers["content-type"].partition(";")[0]
        assert kind in operation["responses"]["200"]["content"]
        if kind == "application/json":
            schema_of(operation, 200, kind).validate(answer.json())
    missing = await api.get("/api/v1/cameras/nobody")
    schema_of(described["paths"]["/api/v1/cameras/{camera_id}"]["get"], 404, PROBLEM).validate(missing.json())


async def test_a_reply_that_is_not_what_the_description_says_would_be_noticed(api):
    """The check above can fail: an event without its line does not fit its schema."""
    await api.hand.events(1)
    await api.service.stored(1)
    described = (await api.get("/openapi.json")).json()
    page = (await api.get("/api/v1/events")).json()
    schema = described["paths"]["/api/v1/events"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    check = jsonschema.Draft202012Validator({"components": described["components"], **schema})
    check.validate(page)
    del page["items"][0]["line"]
    assert not check.is_valid(page)


# --- health


async def test_health_readiness_and_metrics_are_told(api):
    assert (await api.get("/healthz")).json() == {"alive": True}
    assert (await api.get("/readyz")).json() == {"ready": True, "history": True}
    text = (await api.get("/metrics")).text
    assert "gantry_serve_records_total" in text or "gantry_serve_requests_total" in text
    assert 'gantry_serve_requests_total{route="/readyz",status="2xx"} 1.0' in text
    assert "process_start_time_seconds" in text


async def test_a_name_nobody_can_know_yet_is_not_said_to_be_missing(tmp_path):
    broker = small_broker()
    async with running(tmp_path / "h.db", broker=broker, wait=False, away=True) as api:
        assert (await api.get("/readyz")).json() == {"ready": False, "history": False}
        assert (await api.get("/readyz")).status_code == 503
        answer = await api.get("/api/v1/cameras/a")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert (await api.get("/healthz")).status_code == 200
        broker.away = False
        await api.service.caught_up()
        assert (await api.get("/readyz")).status_code == 200
        assert (await api.get("/api/v1/cameras/a")).status_code == 404


async def test_a_history_that_cannot_answer_now_is_a_503_and_a_fault_of_ours_a_500_without_a_traceback(
    api, monkeypatch, caplog
):
    async def busy(_):
        raise Retry("the history is busy with other questions")

    async def broken(_):
        raise ZeroDivisionError("rtsp://u:hunter2@host/1")

    monkeypatch.setattr(api.service.history, "events", busy)
    monkeypatch.setattr(api.service.history, "flows", broken)
    answer = await api.get("/api/v1/events")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "busy" in answer.json()["detail"]
    answer = await api.get("/api/v1/flow")
    assert (answer.status_code, answer.headers["content-type"]) == (500, PROBLEM)
    assert "ZeroDivision" not in answer.text
    [line] = [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]
    assert re.fullmatch(r"/api/v1/flow: ZeroDivisionError at .*test_http\.py:\d+", line)
    assert "hunter2" not in caplog.text
    assert "Traceback" not in caplog.text


# --- the stream


async def test_a_stream_begins_with_a_snapshot_and_tells_each_thing_once(api):
    await api.hand.flow(window(1))
    await api.service.until(lambda: api.service.meter.counts["stored", "flow"] == 1)
    async with listening(api) as stream:
        kind, snapshot = await stream.next()
        assert (kind, stream.retry) == ("snapshot", 2000)
        assert [c["id"] for c in snapshot["cameras"]] == ["a", "b"]
        assert snapshot["flow"][0]["start_ms"] == 30_000
        await api.hand.events(1, 1, 2)
        await api.hand.flow(window(2))
        await api.hand.tracks(tracks(5))
        got = [await stream.next() for _ in range(4)]
        assert sorted(kind for kind, _ in got) == ["event", "event", "flow", "tracks"]
        assert [d["captured_ms"] for k, d in got if k == "event"] == [1000, 2000]
        assert next(d for k, d in got if k == "event")["type"] == "crossing"


@pytest.mark.parametrize("by", ["header", "parameter"])
async def test_a_stream_that_comes_back_gets_what_it_missed_by_header_or_by_parameter(api, by):
    async with listening(api, kinds="event") as stream:
        await stream.next()
        await api.hand.events(1, 2)
        assert await numbers(stream, 1) == [1]
    await api.hand.events(2, 3)
    back = {"last_id": stream.last_id} if by == "header" else {"token": stream.last_id}
    async with listening(api, kinds="event", **back) as stream:
        assert await numbers(stream, 2) == [2, 3]


async def test_the_header_of_a_browser_that_comes_back_wins_over_the_token_in_its_url(api):
    async with listening(api, kinds="event") as stream:
        await stream.next()
        first = stream.last_id
        await api.hand.events(1, 2)
        assert await numbers(stream, 2) == [1, 2]
        second = stream.last_id
    await api.hand.events(3)
    async with listening(api, last_id=second, token=first, kinds="event") as stream:
        assert await numbers(stream, 1) == [3]


async def test_a_browser_with_an_id_of_another_service_gets_a_reset_not_an_error(api):
    async with listening(api, last_id="17", kinds="event") as stream:
        kind, why = await stream.next()
        assert (kind, list(why)) == ("reset", ["reason"])
        assert (await stream.next())[0] == "snapshot"
        await api.hand.events(1)
        assert await numbers(stream, 1) == [1]


async def test_a_quiet_stream_is_kept_alive_by_comments_that_move_its_id_on(tmp_path):
    async with running(tmp_path / "h.db", heartbeat_s=0.05) as api:
        await api.hand.city()
        await api.service.until(lambda: api.service.feed.camera("b"))
        async with listening(api, camera="b", kinds="event") as stream:
            _, snapshot = await stream.next()
            while not snapshot["cameras"]:
                _, snapshot = await stream.next()
            before = stream.last_id
            await api.hand.events(1)
            await api.service.stored(1)
            await asyncio.sleep(0.3)
            await api.hand.event(crossing(9, camera="b"))
            while (message := await stream.next())[0] == "snapshot":
                pass
            assert message[1]["camera"] == "b"
            assert stream.comments >= 2
            assert stream.last_id != before


async def test_data_with_line_breaks_arrives_as_it_was(api):
    pretty = json.dumps(
        json.loads(json.dumps({"camera": "a", "epoch": 0, "seq": 1, "captured_ms": 5, "tracks": []})), indent=1
    )
    async with listening(api, kinds="tracks") as stream:
        await stream.next()
        await api.hand.put("tracks", 0, b"a", pretty.replace("\n", "\r\n").encode(), headers=[("v", b"1")])
        assert await stream.next() == ("tracks", json.loads(pretty))


async def test_a_client_that_does_not_read_costs_no_memory_and_is_reset_when_it_reads(tmp_path):
    async with running(tmp_path / "h.db", ring=20) as api:
        slow = socket.create_connection(("127.0.0.1", api.port))
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        slow.sendall(b"GET /api/v1/stream?kinds=event HTTP/1.1\r\nHost: x\r\n\r\n")
        async with listening(api, kinds="event") as quick:
            await quick.next()
            wide = "x" * 50_000  # fills the buffers between server and client
            for n in range(400):
                await api.hand.event(crossing(n, direction_name=wide))
                assert await numbers(quick, 1) == [n]
        assert len(api.service.feed.board.ring) <= 20
        reader, writer = await asyncio.open_connection(sock=slow)
        text = b""
        async with asyncio.timeout(20):
            while b"event: reset" not in text or b"event: snapshot" not in text.split(b"event: reset")[-1]:
                text += await reader.read(65536)
        assert text.count(b"event: reset") == 1
        writer.close()
        await writer.wait_closed()


async def test_a_reader_that_goes_away_is_forgotten(api):
    async with listening(api) as stream:
        await stream.next()
        assert api.service.feed._listeners == 1
    await api.hand.events(1)
    await api.service.until(lambda: api.service.feed._listeners == 0)


async def test_more_streams_than_are_served_are_told_to_come_again(tmp_path):
    async with running(tmp_path / "h.db", clients=1) as api, listening(api) as stream:
        await stream.next()
        answer = await api.get("/api/v1/stream")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert "1 live readers" in answer.json()["detail"]


# --- the server


async def test_the_end_does_not_wait_for_open_streams_nor_for_clients_that_do_not_read(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(server_module, "STOP_S", 0.3)
    async with running(tmp_path / "h.db") as api:
        stuck = socket.create_connection(("127.0.0.1", api.port))
        stuck.sendall(b"GET /api/v1/stream HTTP/1.1\r\nHost: x\r\n\r\n")
        async with listening(api) as stream:
            await stream.next()
            for n in range(300):
                await api.hand.event(crossing(n, direction_name="x" * 20_000))
            ending = asyncio.ensure_future(api.ended())
            with contextlib.suppress(EOFError, httpx.HTTPError):
                while await stream.next():
                    pass
            await ending
        stuck.close()
    assert "Traceback" not in caplog.text
    assert "Exception" not in caplog.text


@pytest.mark.parametrize("host", ["127.0.0.1", "no.such.host.invalid"])
async def test_an_address_that_cannot_be_used_is_told_in_one_line(host):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Fatal, match=rf"cannot listen on {host}:{port}: .*serve.port") as refused:
            await run_http(lambda *_: None, host, port, asyncio.Event())
        with pytest.raises(Fatal, match=rf"the page cannot listen on {host}:{port}: .*dashboard.port"):
            await run_http(lambda *_: None, host, port, asyncio.Event(), section="dashboard")
    assert "\n" not in str(refused.value)
