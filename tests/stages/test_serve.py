"""serve: a history and a live feed from one log."""

import asyncio
import logging

import msgspec
import pytest

from pipeline.adapters.kafka import Kafka
from pipeline.adapters.store import open_store
from pipeline.core.feed import FeedState, read_token, write_token
from pipeline.core.model import Clock, DeadLetter, Group, HealthChange, HealthState
from pipeline.errors import Fatal, Poison, Retry
from pipeline.ports import EventQuery, FlowQuery
from pipeline.wire.codec import encode_event, encode_flow, encode_tracks
from tests.stages.serving import (
    SCENE,
    Hand,
    JumpingClock,
    Reader,
    camera,
    crossing,
    number_of,
    served,
    small_broker,
    tracks,
    window,
)


@pytest.fixture
async def broker():
    return small_broker()


@pytest.fixture
async def hand(broker):
    async with broker.writer() as writer:
        yield Hand(writer)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "history.db"


async def kept(history):
    return [e.captured_ms // 1000 for e in (await history.events(EventQuery(newest_first=False, limit=1000))).items]


# --- the history


async def test_what_the_log_has_is_in_the_history_once_though_processes_repeated_it(broker, hand, path):
    await hand.events(1, 2, 3)
    await hand.events(2, 3, 4)
    await hand.event(crossing(5), partition=1)
    await hand.flow(window(1))
    await hand.flow(window(1, revision=1, coverage=0.5))

    async with served(broker, path) as service:
        assert await kept(service.history) == [1, 2, 3, 4, 5]
        assert [f.coverage for f in (await service.history.flows(FlowQuery())).items] == [0.5]
        assert await service.history.offsets("fakelog") == {"events": {0: 6, 1: 1}, "flow": {0: 2}}


async def test_a_start_after_a_start_reads_on_from_where_the_history_is(broker, hand, path):
    await hand.events(1, 2)
    async with served(broker, path):
        pass
    await hand.events(3)
    broker.expire("events", 0, 2)  # what is stored is not read again

    async with served(broker, path) as service:
        assert await kept(service.history) == [1, 2, 3]
        assert service.meter.counts["history_missed"] == 0


async def test_records_that_expired_before_they_were_stored_are_said_to_be_missing(broker, hand, path, caplog):
    await hand.events(1)
    async with served(broker, path):
        pass
    await hand.events(2, 3, 4)
    broker.expire("events", 0, 3)

    async with served(broker, path) as service:
        assert await kept(service.history) == [1, 4]
        assert service.meter.counts["history_missed"] == 2
    assert "events/0: 2 records expired before they were stored" in caplog.text


async def test_a_history_of_another_log_is_added_to_from_the_start_of_this_one(broker, hand, path):
    await hand.events(1, 2, 3)
    async with served(broker, path):
        pass
    rebuilt = small_broker()
    rebuilt.log = "rebuilt"
    async with rebuilt.writer() as writer:
        await Hand(writer).events(11)
        async with served(rebuilt, path) as service:
            assert await kept(service.history) == [1, 2, 3, 11]


async def test_a_log_that_was_cut_is_read_anew(broker, hand, path, caplog):
    await hand.events(1, 2, 3)
    async with served(broker, path):
        pass
    cut = small_broker()
    async with cut.writer() as writer:
        await Hand(writer).events(9)
        async with served(cut, path) as service:
            assert await kept(service.history) == [1, 2, 3, 9]
            assert await service.history.offsets("fakelog") == {"events": {0: 1}}
    assert "it was cut" in caplog.text


async def test_a_record_that_cannot_be_read_is_put_aside_and_the_next_one_is_told_and_kept(broker, hand, path):
    async with broker.writer() as dead, served(broker, path, dead=dead) as service:
        reader = Reader(service.feed)
        await reader.next()
        await hand.events(1)
        await hand.put("events", 0, b"a", b"\xff{not json", headers=[("ce_id", b"x")])
        await hand.put("flow", 1, b"a", None)
        await hand.put("tracks", 1, b"a", b"[]")
        await hand.events(2)
        assert await reader.ids(2) == [1, 2]
        await service.stored(2)
        await service.until(lambda: len(broker.records("dead-letters")) == 3)
        letters = [msgspec.json.decode(m.value, type=DeadLetter) for m in broker.records("dead-letters")]

        assert {(m.topic, m.partition, m.offset) for m in letters} == {
            ("events", 0, 1),
            ("flow", 1, 0),
            ("tracks", 1, 0),
        }
        assert all(letter.process == "serve" and letter.reason for letter in letters)
        assert await service.history.offsets("fakelog") == {"events": {0: 3}, "flow": {1: 1}}
        assert service.meter.counts["dead_letters"] == 3


class Failing:
    """A history that fails when told to; else the real one."""

    def __init__(self, store):
        self.store, self.error, self.failed = store, None, 0

    def __getattr__(self, name):
        async def call(*args):
            if self.error is not None:
                self.failed += 1
                raise self.error
            return await getattr(self.store, name)(*args)

        return call


async def test_while_the_store_fails_live_goes_on_and_nothing_is_lost_when_it_works_again(broker, hand, path, caplog):
    caplog.set_level(logging.INFO)
    async with open_store(path) as store:
        history = Failing(store)
        async with served(broker, path, history=history, batch=4) as service:
            reader = Reader(service.feed)
            await reader.next()
            history.error = Retry("the history file h.db cannot be used now: disk full")
            numbers = list(range(1, 60))  # more than the history path may hold
            await hand.events(*numbers)
            assert await reader.ids(59) == numbers
            await service.until(lambda: history.failed > 3)
            assert service.meter.gauges["failing", "the history"] == 1

            history.error = None
            await service.stored(59)
            assert await kept(store) == numbers
            assert service.meter.gauges["failing", "the history"] == 0
    assert "disk full; trying again in" in caplog.text
    assert "the history works again" in caplog.text


async def test_a_history_that_fails_at_the_start_does_not_keep_live_from_starting(broker, hand, path):
    await hand.events(1)
    async with open_store(path) as store:
        history = Failing(store)
        history.error = Retry("locked")
        async with served(broker, path, history=history, wait=False) as service:
            reader = Reader(service.feed)
            assert (await reader.next()).kind == "snapshot"
            assert service.feed.caught_up() == (True, False)
            history.error = None
            await service.caught_up()
            assert await kept(store) == [1]


async def test_a_damaged_history_ends_the_process(broker, hand, path):
    await hand.events(1)
    async with open_store(path) as store:
        history = Failing(store)
        ending = served(broker, path, history=history)
        service = await ending.__aenter__()
        history.error = Fatal("the history file is damaged")
        await hand.events(2)
        await asyncio.wait({service.running}, timeout=20)
        with pytest.raises(Fatal, match="damaged"):
            await ending.__aexit__(None, None, None)


async def test_the_history_is_pruned_by_the_days_it_is_kept(broker, hand, path):
    clock = JumpingClock()
    await hand.events(1)
    async with served(broker, path, clock=clock, retention_days=2) as service:
        clock.jump(86_400 * 2)
        await service.housekept()
        await hand.events(2)
        await service.stored(2)
        assert await kept(service.history) == [1, 2]
        clock.jump(86_400)
        await service.until(lambda: service.meter.counts["pruned"] > 0)
        assert await kept(service.history) == [2]


# --- the registry, and what is known of cameras


async def test_cameras_groups_and_scenes_follow_the_registry(broker, hand, path):
    await hand.city()
    async with served(broker, path) as service:
        feed = service.feed
        assert [c.id for c in feed.cameras()] == ["a", "b"]
        detail = feed.camera("a")
        assert (detail.scene, detail.lines, detail.groups) == (SCENE, ["main"], ["g"])
        assert feed.camera("c") is None
        assert feed.group("g").members == ["a", "b"]

        reader = Reader(feed)
        assert [c.id for c in (await reader.next()).data.cameras] == ["a", "b"]
        await hand.register("cameras", "b", None)
        assert [c.id for c in (await reader.next()).data.cameras] == ["a"]
        await hand.register("cameras", "c", camera("c"))
        assert [c.id for c in (await reader.next()).data.cameras] == ["a", "c"]


async def test_the_first_record_of_a_revision_stands_and_a_stale_one_changes_nothing(broker, hand, path):
    await hand.register("cameras", "a", camera("a", revision=2, fps=5.0))
    await hand.register("cameras", "a", camera("a", revision=2, fps=9.0))
    await hand.register("cameras", "a", camera("a", revision=1, fps=7.0))
    await hand.put("cameras", 0, b"a", b"{}")
    await hand.register("cameras", "x", camera("y"))
    async with served(broker, path) as service:
        assert [(c.id, c.fps) for c in service.feed.cameras()] == [("a", 5.0)]
        assert service.meter.counts["dead_letters", "cameras"] == 2


async def test_the_registry_and_what_was_seen_are_known_before_the_log_answers(broker, hand, path):
    await hand.city()
    async with served(broker, path) as service:
        await hand.tracks(tracks(7))
        await hand.flow(window(1))
        await service.until(lambda: service.feed.camera("a").last_captured_ms == 30_000 * 2)
        await hand.register("cameras", "b", None)
        await service.until(lambda: len(service.feed.cameras()) == 1)
        await service.housekept()
        assert list((await service.history.registry()).cameras) == ["a"]
        assert list(await service.history.seen()) == ["a"]
    broker.away = True
    async with served(broker, path, wait=False) as service:
        await service.until(lambda: service.feed.cameras() != [])
        [only] = service.feed.cameras()
        assert (only.id, only.last_captured_ms) == ("a", 60_000)
        assert service.feed.caught_up() == (False, False)
        broker.away = False
        await service.caught_up()
        reader = Reader(service.feed)
        assert (await reader.next()).data.flow == [window(1)]


async def test_a_camera_has_the_health_that_was_told_last_also_after_a_restart(broker, hand, path):
    def change(n, after):
        return HealthChange(
            id=f"log/a/health/0-{n}", camera="a", before=None, after=after, since_ms=1_000 * n, captured_ms=1_000 * n,
            view=n, clock=Clock.RTCP, scene_revision=1, epoch=0,
        )  # fmt: skip

    def told(service):
        status = service.feed.camera("a")
        return status.health, status.health_since_ms, status.view

    await hand.city()
    async with served(broker, path) as service:
        assert told(service) == (None, None, None)
        reader = Reader(service.feed)
        await reader.next()
        await hand.event(change(3, HealthState.MOVED))
        assert await reader.ids(1) == [3]
        await hand.event(change(2, HealthState.OK))  # a repeat of a process that was killed
        await reader.ids(1)
        assert told(service) == (HealthState.MOVED, 3_000, 3)
        await service.housekept()
        await service.stored(2)
    broker.expire("events", 0, 2)
    async with served(broker, path) as service:
        assert told(service) == (HealthState.MOVED, 3_000, 3)


async def test_a_camera_is_silent_without_pictures_and_unknown_without_anything(broker, hand, path):
    await hand.city()
    clock = JumpingClock()
    async with served(broker, path, clock=clock) as service:
        status = service.feed.camera("a")
        assert (status.state, status.unknown_since_ms) == (FeedState.UNKNOWN, None)

        await hand.tracks(tracks(7))
        await service.until(lambda: service.feed.camera("a").state is FeedState.LIVE)
        assert service.feed.camera("a").last_captured_ms == 7_000
        clock.jump(60)
        assert service.feed.camera("a").state is FeedState.SILENT
        heard_ms = clock.now_ms()
        await hand.flow(window(1, coverage=0.0))  # an empty window: capture ticks, no picture was seen
        await service.until(lambda: service.feed.camera("a").last_heard_ms == heard_ms)
        assert service.feed.camera("a").last_captured_ms == 7_000
        clock.jump(89)
        assert service.feed.camera("a").state is FeedState.SILENT
        clock.jump(2)
        status = service.feed.camera("a")
        assert (status.state, status.unknown_since_ms) == (FeedState.UNKNOWN, heard_ms)
        assert service.feed.camera("b").state is FeedState.UNKNOWN


# --- live readers


async def test_a_reader_gets_a_snapshot_and_then_each_change_once_in_order(broker, hand, path):
    await hand.city()
    await hand.flow(window(1))
    await hand.flow(window(2, place="g", kind="group"))
    await hand.flow(window(2, place="gone"))
    await hand.events(1)
    async with served(broker, path) as service:
        reader = Reader(service.feed)
        first = await reader.next()
        assert first.kind == "snapshot"
        assert first.data.flow == [window(1), window(2, place="g", kind="group")]
        await hand.events(2)
        await hand.flow(window(3))
        await hand.tracks(tracks(9))
        await hand.events(2, 3)
        got = await reader.take(4)
        assert sorted(m.kind for m in got) == ["event", "event", "flow", "tracks"]
        assert [number_of(m) for m in got if m.kind == "event"] == [2, 3]
        await reader.silence()
        assert service.meter.counts["repeats"] == 1


async def test_a_greater_revision_of_an_event_is_told_and_a_smaller_one_is_not(broker, hand, path):
    async with served(broker, path) as service:
        reader = Reader(service.feed)
        await reader.next()
        await hand.event(crossing(1, revision=1))
        await hand.event(crossing(1, revision=0))
        await hand.event(crossing(1, revision=2))
        revisions = [msgspec.json.decode(m.data).get("revision", 0) for m in await reader.take(2)]
        assert revisions == [1, 2]


async def test_a_reader_gets_what_it_asked_for_only(broker, hand, path):
    await hand.city()
    async with served(broker, path) as service:
        reader = Reader(service.feed, cameras={"b"}, kinds={"event", "tracks"})
        snapshot = (await reader.next()).data
        assert ([c.id for c in snapshot.cameras], snapshot.groups) == (["b"], [])
        await hand.events(1)
        await hand.tracks(tracks(1, camera="a"))
        await hand.tracks(tracks(2, camera="b"))
        await hand.flow(window(1, place="b"))
        await hand.event(crossing(3, camera="b"))
        assert sorted(m.kind for m in await reader.take(2)) == ["event", "tracks"]
        await reader.silence()


async def test_a_reader_that_comes_back_gets_what_it_missed_and_nothing_twice(broker, hand, path):
    async with served(broker, path) as service:
        reader = Reader(service.feed)
        await reader.next()
        await hand.events(1, 2)
        assert await reader.ids(1) == [1]
        await reader.close()
        await hand.events(2, 3)
        await hand.event(crossing(4), partition=1)

        again = Reader(service.feed, token=reader.token)
        assert sorted(await again.ids(3)) == [2, 3, 4]
        await again.silence()
        assert service.meter.counts["resumes", "ring"] == 1
        await again.close()

        thrice = Reader(service.feed, token=again.token)
        await thrice.silence()
        await hand.events(5)
        assert await thrice.ids(1) == [5]


@pytest.mark.parametrize("lookback", [1, 3, 1000])
async def test_a_reader_resumes_after_a_restart_of_serve_whether_or_not_the_ring_reaches_back(
    broker, hand, path, lookback
):
    async with served(broker, path) as service:
        reader = Reader(service.feed)
        await reader.next()
        await hand.events(1, 2, 3)
        assert await reader.ids(2) == [1, 2]
    await hand.events(*range(2, 10))  # track was killed, too: it repeats 2 and 3
    await hand.event(crossing(10), partition=1)

    async with served(broker, path, lookback=lookback) as service:
        again = Reader(service.feed, token=reader.token)
        assert sorted(await again.ids(8)) == [3, 4, 5, 6, 7, 8, 9, 10]
        await again.silence()
        await hand.events(8, 11)
        assert await again.ids(1) == [11]
        source = "ring" if lookback == 1000 else "log"
        assert service.meter.counts["resumes", source] == 1


async def test_a_reader_that_is_told_from_the_log_meets_the_ring_though_it_moves_on(broker, hand, path):
    async with served(broker, path, ring=3, lookback=2) as service:
        reader = Reader(service.feed)
        await reader.next()
        await reader.close()
        await hand.events(*range(20))
        again = Reader(service.feed, token=reader.token)
        got = []
        for n in range(20, 60):
            got += await again.ids(1)
            await hand.event(crossing(n), partition=n % 2)
            await hand.flow(window(n), partition=n % 2)
        while len(got) < 60:
            told = await again.next()
            assert told.kind in {"event", "flow"}, told
            got += [number_of(told)] if told.kind == "event" else []
        assert sorted(got) == list(range(60))


async def test_each_token_on_the_way_resumes_exactly_behind_its_message(broker, hand, path):
    async with served(broker, path, lookback=2) as service:
        reader = Reader(service.feed, kinds={"event"})
        await reader.next()
        for n in range(12):
            await hand.event(crossing(n), partition=n % 2)
        await reader.close()
        await service.stored(12)
        got, token = [], reader.token
        while len(got) < 12:  # comes back after every single message
            again = Reader(service.feed, token=token, kinds={"event"})
            got += await again.ids(1)
            token = again.token
            await again.close()
        assert sorted(got) == list(range(12))


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (write_token("other", {("events", 0): 1}), "foreign"),
        (write_token("fakelog", {("events", 0): 0, ("events", 1): 0}), "foreign"),
        (write_token("fakelog", {(t, p): 10**6 for t in ("events", "flow") for p in (0, 1)}), "foreign"),
        (write_token("fakelog", {(t, p): 0 for t in ("events", "flow") for p in (0, 1)}), "expired"),
    ],
)
async def test_a_token_nobody_can_resume_from_gives_a_reset_a_snapshot_and_then_live(broker, hand, path, token, reason):
    await hand.city()
    await hand.events(1, 2, 3, 4, 5)
    broker.expire("events", 0, 2)
    async with served(broker, path, lookback=1) as service:
        reader = Reader(service.feed, token=token)
        reset, snapshot = await reader.take(2)
        assert (reset.kind, snapshot.kind) == ("reset", "snapshot")
        assert [c.id for c in snapshot.data.cameras] == ["a", "b"]
        await hand.events(6)
        assert await reader.ids(1) == [6]
        assert service.meter.counts["resets", reason] == 1


async def test_a_token_whose_whole_rest_expired_gives_a_reset(broker, hand, path):
    async with served(broker, path) as service:
        reader = Reader(service.feed)
        await reader.next()
    await hand.events(1, 2, 3)
    broker.expire("events", 0, 3)
    async with served(broker, path) as service:
        again = Reader(service.feed, token=reader.token)
        assert [m.kind for m in await again.take(2)] == ["reset", "snapshot"]
        third = Reader(service.feed, token=again.token)
        await third.silence()
        await hand.events(4)
        assert await third.ids(1) == [4]


async def test_a_text_that_is_no_token_is_refused_at_once(broker, path):
    async with served(broker, path) as service:
        with pytest.raises(Poison, match="leave it out"):
            service.feed.listen(cameras=None, kinds=frozenset(), token="nonsense")


async def test_a_token_of_a_replica_that_is_ahead_is_waited_for(broker, hand, path):
    async with served(broker, path) as service:
        reader = Reader(service.feed)
        await reader.next()
        log, at = read_token(reader.token)
        await hand.events(1, 2, 3)
        await service.stored(3)
        ahead = Reader(service.feed, token=write_token(log, at | {("events", 0): 2}))
        assert await ahead.ids(1) == [3]


async def test_a_slow_reader_is_reset_and_memory_stays_bounded(broker, hand, path):
    await hand.city()
    async with served(broker, path, ring=10, tracks_ring=5) as service:
        slow, quick = Reader(service.feed), Reader(service.feed)
        await slow.next()
        await quick.next()
        for n in range(100):
            await hand.events(n)
            await hand.tracks(tracks(n))
            while True:
                told = await quick.next()
                if told.kind == "event":
                    assert number_of(told) == n
                    break
        await service.stored(100)
        assert len(service.feed.board.ring) == 10
        assert len(service.feed.board.tracks) <= 5
        reset, snapshot = await slow.take(2)
        assert (reset.kind, snapshot.kind) == ("reset", "snapshot")
        await hand.events(100)
        while (told := await slow.next()).kind == "tracks":
            pass
        assert number_of(told) == 100
        assert service.meter.counts["resets", "slow"] == 1
        assert quick.kinds.count("event") == 100


async def test_a_record_of_a_version_that_is_not_known_is_put_aside_and_nobody_is_told_of_it(broker, hand, path):
    async with broker.writer() as dead, served(broker, path, dead=dead) as service:
        reader = Reader(service.feed)
        await reader.next()
        for topic, out, says in (
            ("events", encode_event(crossing(1)), "ce_type"),
            ("flow", encode_flow(window(1)), "v"),
            ("tracks", encode_tracks(tracks(1)), "v"),
        ):
            headers = [(k, v.replace(b"1", b"2") if k == says else v) for k, v in out.headers]
            await hand.put(topic, 0, out.key, out.value, headers=headers)
        await hand.events(2)
        assert await reader.ids(1) == [2]
        await reader.silence()
        await service.stored(1)
        await service.until(lambda: len(broker.records("dead-letters")) == 3)
        letters = [msgspec.json.decode(m.value, type=DeadLetter) for m in broker.records("dead-letters")]

        assert {letter.topic for letter in letters} == {"events", "flow", "tracks"}
        assert all("upgrade it first" in letter.reason for letter in letters)
        assert (await service.history.flows(FlowQuery())).items == []


async def test_records_that_retention_took_before_they_were_told_reset_every_reader(broker, hand, path, caplog):
    async with served(broker, path) as service:
        await hand.events(1)
        reader = Reader(service.feed)
        await reader.next()
        token = reader.token
        await service.stored(1)
        [message] = broker.records("events", 0)
        late = msgspec.structs.replace(message, offset=5, value=encode_event(crossing(5)).value)
        service.feed.board.take(late)

        assert [m.kind for m in await reader.take(2)] == ["reset", "snapshot"]
        assert service.meter.counts["lost"] == 4
        assert "4 records expired before they were told" in caplog.text
        service.feed.board.take(msgspec.structs.replace(late, offset=6, value=encode_event(crossing(6)).value))
        assert await reader.ids(1) == [6]
        again = Reader(service.feed, token=reader.token)
        await again.silence()
        assert read_token(token)[1]["events", 0] == 1


async def test_readers_beyond_the_number_that_is_served_are_told_to_come_again(broker, path):
    async with served(broker, path, clients=2) as service:
        readers = [Reader(service.feed) for _ in range(2)]
        for reader in readers:
            await reader.next()
        with pytest.raises(Retry, match="2 live readers"):
            Reader(service.feed)
        await readers[0].close()
        assert (await Reader(service.feed).next()).kind == "snapshot"


async def test_a_reader_waits_with_heartbeats_until_the_feed_has_caught_up(broker, hand, path):
    await hand.events(1)
    broker.away = True
    async with served(broker, path, wait=False, heartbeat_s=0.02) as service:
        reader = Reader(service.feed)
        assert [m.kind for m in await reader.take(2)] == ["heartbeat", "heartbeat"]
        broker.away = False
        while (told := await reader.next()).kind == "heartbeat":
            pass
        assert told.kind == "snapshot"


async def test_a_reader_is_kept_alive_while_the_log_it_is_told_from_is_away(broker, hand, path):
    async with served(broker, path) as service:
        reader = Reader(service.feed)
        await reader.next()
    await hand.events(*range(10))
    async with served(broker, path, lookback=1, heartbeat_s=0.02) as service:
        broker.away = True
        again = Reader(service.feed, token=reader.token)
        assert {m.kind for m in await again.take(3)} == {"heartbeat"}
        broker.away = False
        got = []
        while len(got) < 10:
            if (told := await again.next()).kind != "heartbeat":
                got.append(number_of(told))
        assert got == list(range(10))


async def test_a_heartbeat_moves_a_reader_on_whose_filter_lets_nothing_through(broker, hand, path):
    async with served(broker, path, heartbeat_s=0.05) as service:
        reader = Reader(service.feed, cameras={"b"})
        before = (await reader.next()).token
        await hand.events(1, 2, 3)
        await service.stored(3)
        told = await reader.next()
        while told.token == before:
            told = await reader.next()
        assert told.kind == "heartbeat"
        assert read_token(told.token)[1]["events", 0] == 3


async def test_readers_end_at_once_when_serve_stops(broker, hand, path):
    async with served(broker, path, lookback=1) as service:
        readers = [Reader(service.feed) for _ in range(3)]
        for reader in readers:
            await reader.next()
        waiting = [asyncio.ensure_future(anext(reader.messages, "the end")) for reader in readers]
        await asyncio.sleep(0.01)
        service.stop.set()
        done, _ = await asyncio.wait(waiting, timeout=5)
        assert {task.result() for task in done} == {"the end"}
        assert len(done) == 3
        assert service.meter.gauges["listeners",] == 0


async def test_a_registry_change_while_a_reader_was_away_comes_as_a_snapshot_behind_what_it_missed(broker, hand, path):
    await hand.city()
    async with served(broker, path) as service:
        reader = Reader(service.feed)
        await reader.next()
        await reader.close()
        await hand.register("groups", "h", Group(id="h", members=["b"], revision=1))
        await hand.events(1)
        await service.until(lambda: service.feed.group("h") is not None)
        await service.stored(1)
        again = Reader(service.feed, token=reader.token)
        assert await again.ids(1) == [1]
        assert {g.id for g in (await again.next()).data.groups} == {"g", "h"}


# --- the same on real Kafka


@pytest.mark.kafka
async def test_on_a_real_kafka_history_and_feed_survive_restarts_of_serve(kafka, topics, path):
    real = Kafka(servers=kafka.servers, topics=topics, client_id="serve-test")
    async with real.writer() as writer:
        hand = Hand(writer)
        await hand.city()
        await hand.events(1, 2)
        async with served(real, path, lookback=2, dead=writer) as service:
            reader = Reader(service.feed)
            first = await reader.next()
            assert [c.id for c in first.data.cameras] == ["a", "b"]
            await hand.tracks(tracks(1))
            assert (await reader.next()).kind == "tracks"
            await hand.put("events", 0, b"a", b"no event")
            await hand.events(2, 3)
            assert await reader.ids(1) == [3]
            await service.stored(4)
            assert await kept(service.history) == [1, 2, 3]
        await hand.events(*range(3, 12))
        await hand.event(crossing(12), partition=1)
        async with served(real, path, lookback=2) as service:
            again = Reader(service.feed, token=reader.token)
            assert sorted(await again.ids(9)) == [4, 5, 6, 7, 8, 9, 10, 11, 12]
            assert service.meter.counts["resumes", "log"] == 1
            assert await kept(service.history) == list(range(1, 13))
            assert (await service.history.offsets(await real.log_id()))["events"] == {0: 14, 1: 1}
        letters = [m async for m in _letters(real)]
        assert len(letters) == 1


async def _letters(real):
    async with real.logs() as logs:
        for message in await logs.read_all("dead-letters", 0):
            yield message
