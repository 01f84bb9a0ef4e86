"""The history in SQLite."""

import asyncio
import signal
import sqlite3
import subprocess
import sys
import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.adapters.store import open_store
from pipeline.core.feed import Seen
from pipeline.core.model import Camera, Clock, Crossing, Flow, Group, HealthChange, HealthState, Line, Scene, Size, Way
from pipeline.core.registry import Registry
from pipeline.errors import Fatal, Poison, Retry
from pipeline.ports import Changes, CountQuery, EventQuery, FlowQuery
from tests.wire.examples import EVENTS as OF_ALL_KINDS


def crossing(n, **changes):
    return Crossing(
        **{
            "id": f"log.a.0-{n}-0.main.1",
            "camera": "a",
            "line": "main",
            "direction": Way.TO_RIGHT,
            "label": "car",
            "score": 0.5,
            "captured_ms": 1_000 * n,
            "x": 0.5,
            "y": 0.5,
            "track": f"0-{n}-0",
            "clock": Clock.RTCP,
            "scene_revision": 1,
            "epoch": 0,
        }
        | changes
    )


def window(n, **changes):
    return Flow(
        **{
            "place": "a",
            "kind": "camera",
            "start_ms": 30_000 * n,
            "window_ms": 30_000,
            "coverage": 1.0,
            "lines": [],
            "zones": [],
        }
        | changes
    )


def changes(*, events=(), flows=(), offset=0, at_ms=0):
    return Changes(log="log", at_ms=at_ms, events=events, flows=flows, offsets={"events": {0: offset}})


@pytest.fixture
async def store(tmp_path):
    async with open_store(tmp_path / "new" / "folder" / "history.db") as store:
        yield store


async def ids(store, **query):
    return [e.id for e in (await store.events(EventQuery(**query))).items]


async def test_every_kind_of_event_comes_back_and_is_found_by_its_kind_and_places(store):
    await store.write(changes(events=list(OF_ALL_KINDS.values())))

    assert {e.id: e for e in (await store.events(EventQuery())).items} == {e.id: e for e in OF_ALL_KINDS.values()}
    assert await ids(store, types=["movement"]) == [OF_ALL_KINDS["movement"].id]
    assert await ids(store, types=["speed"]) == [OF_ALL_KINDS["speed"].id]
    assert set(await ids(store, types=["entered", "left"], zone="box")) == {
        OF_ALL_KINDS["entered"].id,
        OF_ALL_KINDS["left"].id,
    }
    assert await ids(store, destination="box") == [OF_ALL_KINDS["movement"].id]
    assert len(await ids(store, origin="stop/to_right")) == 2
    assert await ids(store, zone="box", line="stop") == []
    assert sum(c.count for c in await store.counts(CountQuery())) == 2  # not the speed, nor what is not valid


# --- what stays


async def test_a_repeated_event_is_kept_once_and_the_greater_revision_stays_whatever_the_order(store):
    await store.write(changes(events=[crossing(1, revision=1, score=0.6)]))
    await store.write(changes(events=[crossing(1, revision=0, score=0.1), crossing(1, revision=1, score=0.2)]))

    [kept] = (await store.events(EventQuery())).items
    assert (kept.revision, kept.score) == (1, 0.6)

    await store.write(changes(events=[crossing(1, revision=3, line="other"), crossing(1, revision=2)]))
    [kept] = (await store.events(EventQuery(line="other"))).items
    assert kept.revision == 3
    assert await ids(store, line="main") == []


def change(n):
    return HealthChange(
        id=f"log/a/health/0-{n}", camera="a", before=HealthState.OK, after=HealthState.MOVED, since_ms=1_000 * n,
        captured_ms=1_000 * n, view=0, clock=Clock.RTCP, scene_revision=1, epoch=0,
    )  # fmt: skip


async def test_health_stands_among_the_events_and_a_crossing_that_is_not_valid_any_more_is_in_no_count(store):
    await store.write(changes(events=[crossing(1), crossing(2), change(3)]))
    await store.write(changes(events=[crossing(2, revision=1, valid=False)]))

    assert [c.count for c in await store.counts(CountQuery())] == [1]
    assert (await store.events(EventQuery(types=["health"]))).items == [change(3)]
    assert [e.valid for e in (await store.events(EventQuery(types=["crossing"]))).items] == [False, True]


async def write_first_version(path, events):
    """A file as the first version wrote it: it knew crossings only, and none that are not valid."""
    async with open_store(path) as store:
        await store.write(changes(events=events))
    db = sqlite3.connect(path)
    for column in ("valid", "zone", "origin", "destination"):
        db.execute(f"ALTER TABLE events DROP COLUMN {column}")
    db.execute("PRAGMA user_version=1")
    db.commit()
    db.close()


async def test_a_file_of_the_first_version_is_read_on_and_all_its_crossings_are_valid(tmp_path):
    path = tmp_path / "h.db"
    await write_first_version(path, [crossing(1)])

    for _ in range(2):  # and once more, as of this version
        async with open_store(path) as store:
            await store.write(changes(events=[crossing(2)]))
            assert [c.count for c in await store.counts(CountQuery())] == [2]


async def test_a_window_is_replaced_by_its_greater_revision_only(store):
    await store.write(changes(flows=[window(1, revision=1, coverage=0.5), window(1, coverage=0.1)]))
    await store.write(changes(flows=[window(1, revision=2, coverage=0.9), window(1, kind="group", coverage=0.3)]))

    got = {(f.kind, f.revision, f.coverage) for f in (await store.flows(FlowQuery())).items}
    assert got == {("camera", 2, 0.9), ("group", 0, 0.3)}


async def test_an_event_comes_back_as_it_was_stored(store):
    event = crossing(1, direction_name="northbound", captured_ms=-5, x=0.123456789)
    flow = window(1, members=3, members_expected=None)
    await store.write(changes(events=[event], flows=[flow]))

    assert (await store.events(EventQuery())).items == [event]
    assert (await store.flows(FlowQuery())).items == [flow]


async def test_the_latest_window_of_each_place_and_length_is_known_at_once(store):
    late = window(9, revision=1)
    await store.write(changes(flows=[window(2), late, window(3), window(9), window(1, window_ms=60_000)]))
    await store.write(changes(flows=[window(8)]))

    assert sorted(await store.latest_flows(), key=lambda f: f.window_ms) == [late, window(1, window_ms=60_000)]


async def test_offsets_belong_to_their_log(store):
    await store.write(
        Changes(log="old", at_ms=0, offsets={"events": {0: 10, 1: 20}, "flow": {0: 5}}),
    )
    await store.write(Changes(log="old", at_ms=0, offsets={"events": {1: 21}}))

    assert await store.offsets("old") == {"events": {0: 10, 1: 21}, "flow": {0: 5}}
    assert await store.offsets("rebuilt") == {}


async def test_registry_and_last_seen_survive_a_restart_and_removed_cameras_do_not(tmp_path):
    camera = Camera(id="a", source="rtsp://${env:A}@host/1", shard=1, capture_shard=0, revision=1)
    scene = Scene(drawn_on=Size(640, 352), lines=[Line(name="main", start=(0, 0), end=(1, 1))])
    group = Group(id="g", members=["a"], revision=1)
    seen = Seen(captured_ms=1, picture_ms=2, heard_ms=3)
    async with open_store(tmp_path / "h.db") as store:
        await store.keep_registry(Registry(cameras={"gone": camera}))
        await store.keep_registry(Registry(cameras={"a": camera}, groups={"g": group}, scenes={"a": scene}))
        await store.keep_seen({"a": Seen(heard_ms=1)})
        await store.keep_seen({"a": seen})
        await store.keep_seen({})
    async with open_store(tmp_path / "h.db") as store:
        assert await store.registry() == Registry(cameras={"a": camera}, groups={"g": group}, scenes={"a": scene})
        assert await store.seen() == {"a": seen}


async def test_pruning_deletes_what_was_stored_before_however_late_it_was_captured(store, monkeypatch):
    monkeypatch.setattr("pipeline.adapters.store.PRUNE_ROWS", 3)
    await store.write(changes(events=[crossing(n) for n in range(10)], flows=[window(n) for n in range(7)], at_ms=100))
    await store.write(changes(events=[crossing(0, id="survey of 1999")], flows=[window(99)], at_ms=200))

    assert await store.prune(200) == 17
    assert await ids(store) == ["survey of 1999"]
    assert (await store.flows(FlowQuery())).items == [window(99)]
    assert await store.knows("a")
    assert not await store.knows("b")


# --- a transaction is all or nothing


KILLED = """
import asyncio, os, signal, sys
sys.path.insert(0, {tests!r})
import sqlalchemy as sa
from test_store import crossing, window
from pipeline.adapters.store import open_store
from pipeline.ports import Changes

async def main():
    async with open_store({path!r}) as store:
        start = (await store.offsets("log")).get("events", {{}}).get(0, 0)
        done = 0
        def count(*_):
            nonlocal done
            done += 1
            if done == {statement}:
                os.kill(os.getpid(), signal.SIGKILL)
        sa.event.listen(store._writing, "{moment}", count)
        for n in range(start, 6, 2):
            rows = [crossing(n), crossing(n + 1)]
            await store.write(Changes(log="log", at_ms=0, events=rows, flows=[window(n), window(n + 1)],
                offsets={{"events": {{0: n + 2}}, "flow": {{0: n + 2}}}}))
asyncio.run(main())
"""


@pytest.mark.parametrize("moment", ["before_cursor_execute", "commit"])
def test_a_process_killed_at_any_statement_leaves_rows_and_offsets_that_agree(tmp_path, request, moment):
    path = tmp_path / "h.db"
    kills, statement = 0, 1
    while True:
        code = KILLED.format(tests=str(request.path.parent), path=str(path), statement=statement, moment=moment)
        ended = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            cwd=request.config.rootpath,
            check=False,
            timeout=120,
            capture_output=True,
        )
        with sqlite3.connect(path) as db:
            offsets = dict(db.execute("SELECT topic, next FROM offsets"))
            events = [row[0] for row in db.execute("SELECT captured_ms FROM events ORDER BY captured_ms")]
            flows = db.execute("SELECT count(*) FROM flow").fetchone()[0]
        db.close()
        assert events == [1_000 * n for n in range(offsets.get("events", 0))]
        assert flows == offsets.get("flow", 0)
        if ended.returncode == 0:
            break
        assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
        kills, statement = kills + 1, statement + (2 if moment == "before_cursor_execute" else 1)
        assert kills < 12
    assert kills >= 1
    assert offsets == {"events": 6, "flow": 6}


async def test_a_row_that_cannot_be_stored_takes_the_offset_back_with_it(store):
    with pytest.raises(Fatal, match="refused a row"):
        await store.write(changes(events=[crossing(1), crossing(2, camera=None)], offset=7))

    assert await store.offsets("log") == {}
    assert await ids(store) == []


# --- questions


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, [5, 4, 3, 2, 1]),
        ({"newest_first": False}, [1, 2, 3, 4, 5]),
        ({"cameras": ["a"]}, [5, 4, 1]),
        ({"cameras": ["b", "c"]}, [3, 2]),
        ({"cameras": []}, []),
        ({"line": "side"}, [4]),
        ({"direction": Way.TO_LEFT}, [2]),
        ({"label": "bus"}, [3]),
        ({"from_ms": 2_000, "to_ms": 4_000}, [3, 2]),
        ({"from_ms": 4_000}, [5, 4]),
        ({"to_ms": 1_000}, []),
    ],
)
async def test_a_filter_gives_the_events_that_fit_it(store, query, expected):
    await store.write(
        changes(
            events=[
                crossing(1),
                crossing(2, camera="b", direction=Way.TO_LEFT),
                crossing(3, camera="c", label="bus"),
                crossing(4, line="side"),
                crossing(5),
            ]
        )
    )
    assert [e.captured_ms // 1000 for e in (await store.events(EventQuery(**query))).items] == expected


async def test_crossings_are_counted_by_camera_line_direction_and_class(store):
    await store.write(
        changes(
            events=[
                crossing(1),
                crossing(2),
                crossing(2),
                crossing(3, direction=Way.TO_LEFT),
                crossing(4, label="bus"),
                crossing(5, line="side"),
                crossing(6, camera="b"),
            ]
        )
    )

    async def counted(**query):
        return [(c.camera, c.line, c.direction, c.label, c.count) for c in await store.counts(CountQuery(**query))]

    assert await counted() == [
        ("a", "main", "to_left", "car", 1),
        ("a", "main", "to_right", "bus", 1),
        ("a", "main", "to_right", "car", 2),
        ("a", "side", "to_right", "car", 1),
        ("b", "main", "to_right", "car", 1),
    ]
    assert await counted(cameras=["b"]) == [("b", "main", "to_right", "car", 1)]
    assert await counted(from_ms=2_000, to_ms=3_000) == [("a", "main", "to_right", "car", 1)]
    assert await counted(cameras=[]) == []


async def test_windows_are_found_by_camera_by_group_by_length_and_by_time(store):
    await store.write(
        changes(flows=[window(1), window(2), window(2, place="a", kind="group"), window(2, window_ms=60_000)])
    )

    async def got(**query):
        return {(f.kind, f.start_ms, f.window_ms) for f in (await store.flows(FlowQuery(**query))).items}

    assert await got(groups=["a"]) == {("group", 60_000, 30_000)}
    assert await got(cameras=["a"], window_ms=30_000) == {("camera", 30_000, 30_000), ("camera", 60_000, 30_000)}
    assert await got(cameras=["b"], groups=["b"]) == set()
    assert len(await got(cameras=["a"], groups=["a"])) == 4
    assert await got(to_ms=60_000) == {("camera", 30_000, 30_000)}


@pytest.mark.parametrize("newest_first", [True, False])
@settings(max_examples=15, deadline=None)
@given(
    times=st.lists(st.integers(0, 5), min_size=1, max_size=12),
    late=st.lists(st.integers(0, 5), max_size=6),
    limit=st.integers(1, 5),
)
def test_pages_neither_repeat_nor_skip_a_row_though_rows_arrive_in_between(
    tmp_path_factory, newest_first, times, late, limit
):
    async def walk():
        async with open_store(tmp_path_factory.mktemp("pages") / "h.db") as store:
            before = [crossing(n, captured_ms=t) for n, t in enumerate(times)]
            await store.write(changes(events=before))
            seen, after, arriving = [], None, list(late)
            while True:
                page = await store.events(EventQuery(limit=limit, after=after, newest_first=newest_first))
                seen += page.items
                assert len(page.items) <= limit
                if page.next is None:
                    return before, seen
                after = page.next
                if arriving:
                    await store.write(changes(events=[crossing(100 + len(arriving), captured_ms=arriving.pop())]))

    before, seen = asyncio.run(walk())
    keys = [(e.captured_ms, e.id) for e in seen]
    assert keys == sorted(keys, reverse=newest_first)
    assert len(set(keys)) == len(keys)
    assert {e.id for e in before} <= {e.id for e in seen}


async def test_pages_of_windows_go_on_where_the_page_before_ended(store):
    flows = [window(n, place=p, window_ms=w) for n in range(3) for p in "ab" for w in (30_000, 60_000)]
    await store.write(changes(flows=flows))
    got, after = [], None
    while True:
        page = await store.flows(FlowQuery(limit=5, after=after))
        got, after = got + page.items, page.next
        if after is None:
            break
    assert sorted(map(str, got)) == sorted(map(str, flows))


@pytest.mark.parametrize("cursor", ["", "x", "W10", "é", "WyJlLSIsMV0", "WyJlLSIsMSwyXQ", "bm90IGpzb24"])
async def test_a_cursor_that_was_not_given_out_is_refused(store, cursor):
    with pytest.raises(Poison, match="begin without it"):
        await store.events(EventQuery(after=cursor))


async def test_a_cursor_of_another_order_or_table_is_refused(store):
    await store.write(changes(events=[crossing(1), crossing(2)]))
    after = (await store.events(EventQuery(limit=1))).next

    for bad in (
        store.events(EventQuery(after=after, newest_first=False)),
        store.flows(FlowQuery(after=after)),
    ):
        with pytest.raises(Poison):
            await bad


@given(st.text(max_size=60) | st.binary(max_size=40).map(lambda b: b.hex()))
@settings(max_examples=60, deadline=None)
def test_no_text_given_as_a_cursor_does_anything_but_be_refused(tmp_path_factory, cursor):
    async def ask():
        async with open_store(tmp_path_factory.getbasetemp() / "cursors.db") as store:
            with pytest.raises(Poison):
                await store.events(EventQuery(after=cursor))

    asyncio.run(ask())


async def test_a_question_that_takes_too_long_is_broken_off(store, monkeypatch):
    await store.write(changes(events=[crossing(n) for n in range(3_000)]))
    monkeypatch.setattr("pipeline.adapters.store.LONGEST_READ_S", -1.0)

    with pytest.raises(Retry, match="ask for less"):
        await store.events(EventQuery(label="unicorn"))


async def test_more_questions_than_can_wait_are_told_to_come_again(store, monkeypatch):
    monkeypatch.setattr("pipeline.adapters.store.MOST_WAITING", 2)

    answers = await asyncio.gather(*(store.events(EventQuery()) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(a, Retry) for a in answers) == 3
    assert (await store.events(EventQuery())).items == []


# --- files


async def fails(path, match):
    with pytest.raises(Fatal, match=match) as refused:
        async with open_store(path):
            pass
    assert "\n" not in str(refused.value)


async def test_a_file_that_is_no_database_is_told_and_left_as_it_is(tmp_path):
    path = tmp_path / "h.db"
    path.write_bytes(b"not a database at all, but long enough to be read" * 100)
    await fails(path, "no database")
    assert path.read_bytes().startswith(b"not a database")


async def test_a_damaged_file_is_told(tmp_path):
    path = tmp_path / "h.db"
    async with open_store(path) as store:
        await store.write(changes(events=[crossing(n) for n in range(2_000)]))
    raw = bytearray(path.read_bytes())
    raw[4096 : len(raw) // 2] = b"\xff" * (len(raw) // 2 - 4096)
    path.write_bytes(raw)

    with pytest.raises(Fatal, match="move it away"):
        async with open_store(path) as store:
            await store.write(changes(events=[crossing(n) for n in range(4_000)]))


async def test_another_programs_database_is_never_written_to(tmp_path):
    path = tmp_path / "bookmarks.db"
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE bookmarks (url)")
    db.commit()
    db.close()
    before = path.read_bytes()
    await fails(path, "another program")
    assert path.read_bytes() == before


async def test_a_file_of_the_first_version_is_taken_over(tmp_path):
    path = tmp_path / "h.db"
    await write_first_version(path, [crossing(1)])
    async with open_store(path) as store:
        await store.write(changes(events=[OF_ALL_KINDS["entered"]]))

        assert [e.id for e in (await store.events(EventQuery(newest_first=False))).items] == [
            crossing(1).id,
            OF_ALL_KINDS["entered"].id,
        ]
        assert await ids(store, zone="box") == [OF_ALL_KINDS["entered"].id]


async def test_a_file_of_a_newer_version_is_told(tmp_path):
    path = tmp_path / "h.db"
    async with open_store(path):
        pass
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version=3")
    db.commit()
    db.close()
    await fails(path, "newer gantry")


async def test_a_place_where_no_file_can_be_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    await fails(tmp_path / "file" / "h.db", "folder of the history file .* cannot be made")
    await fails(tmp_path, "cannot be used now: unable to open database file")


async def test_a_url_is_refused_without_repeating_its_password(tmp_path):
    with pytest.raises(Fatal) as refused:
        async with open_store("postgresql://gantry:hunter2@db/traffic"):
            pass
    assert "hunter2" not in str(refused.value)
    assert "postgresql" in str(refused.value)


async def test_a_file_locked_by_another_is_worth_a_retry_and_works_again_after(tmp_path):
    path = tmp_path / "h.db"
    async with open_store(path, busy_ms=50) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Retry, match="locked"):
            await store.write(changes(events=[crossing(1)]))
        assert await ids(store) == []  # readers do not wait for a writer
        other.execute("ROLLBACK")
        other.close()
        await store.write(changes(events=[crossing(1)]))
        assert len(await ids(store)) == 1
