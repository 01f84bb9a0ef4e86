"""Longer windows and groups say the same, whatever order, repeats and crashes their parts went through."""

from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.model import Flow, FlowCount, FlowSpeed, GroupId, LineFlow, Way, ZoneFlow
from pipeline.core.rollup import (
    CAMERAS,
    GROUPS,
    Folded,
    FoldedGroup,
    Head,
    Member,
    Rollup,
    RollupPolicy,
    fold_camera,
    fold_group,
    merge,
    merge_heads,
    state_bytes,
    state_from,
)
from pipeline.errors import Poison

T0 = 1_767_225_600_000  # 2026-01-01T00:00Z, a border of every window
PART = 30_000
MINUTE = 60_000
FIVE = 300_000


def part(
    n: int,
    *,
    cars: int = 1,
    revision: int = 0,
    coverage: float = 1.0,
    camera: str = "c1",
    length: int = PART,
    mean: float | None = 1.0,
) -> Flow:
    """The n-th part since T0."""
    return Flow(
        place=camera,
        kind="camera",
        start_ms=T0 + n * length,
        window_ms=length,
        coverage=coverage,
        lines=[LineFlow(line="stop", counts=[FlowCount(direction=Way.TO_RIGHT, label="car", count=cars)])],
        zones=[
            ZoneFlow(
                zone="box",
                mean_vehicles=mean,
                max_vehicles=None if mean is None else int(mean),
                occupied_share=None if mean is None else 0.5,
            )
        ],
        revision=revision,
    )


def member(
    n: int,
    camera: str,
    *,
    cars: int = 1,
    revision: int = 0,
    expected: int = 2,
    group_revision: int = 1,
    coverage: float = 1.0,
) -> Member:
    flow = part(n, cars=cars, revision=revision, camera=camera, length=MINUTE, coverage=coverage)
    return Member(group=GroupId("g"), group_revision=group_revision, expected=expected, flow=flow)


class GroupTable:
    """A group's values, as a table keeps them: in bytes."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}

    def fold(self, one: Member, position: tuple[int, int] | None = None, keep: int = 99) -> FoldedGroup:
        """Fold, and keep only the first `keep` values: a crash comes between."""
        head = self.values.get("head")
        folded = fold_group(None if head is None else state_from(head, Head), self.stretch, one, position=position)
        writes = {str(start): state for start, state in folded.stretches.items()} | (
            {"head": folded.head} if folded.head else {}
        )
        for key, state in list(writes.items())[:keep]:
            if state is None:
                self.values.pop(key, None)
            else:
                self.values[key] = state_bytes(state)
        return folded

    def stretch(self, start: int) -> Rollup | None:
        data = self.values.get(str(start))
        return None if data is None else state_from(data, Rollup)


def fold_all(parts: Iterable[Flow], state: Rollup | None = None) -> tuple[Rollup | None, list[Flow], list[Folded]]:
    said: list[Flow] = []
    results = []
    for one in parts:
        folded = fold_camera(state, one)
        results.append(folded)
        said += folded.flows
        state = folded.state if folded.state is not None else state
    return state, said, results


def tell(members: Iterable[Member], table: GroupTable | None = None) -> list[Flow]:
    table = table or GroupTable()
    return [flow for one in members for flow in table.fold(one).flows]


def last_words(said: Iterable[Flow]) -> dict[tuple[str, int, int], Flow]:
    """The record of greatest revision of each window; fails where one revision was said with two contents."""
    out: dict[tuple[str, int, int], Flow] = {}
    seen: dict[tuple[str, int, int, int], Flow] = {}
    for flow in said:
        assert seen.setdefault((flow.place, flow.window_ms, flow.start_ms, flow.revision), flow) == flow
        key = (flow.place, flow.window_ms, flow.start_ms)
        if key not in out or out[key].revision < flow.revision:
            out[key] = flow
    return out


def values(said: Iterable[Flow]) -> dict[tuple[str, int, int], Flow]:
    return {key: msgspec.structs.replace(flow, revision=0) for key, flow in last_words(said).items()}


def count(flow: Flow) -> int:
    return sum(c.count for line in flow.lines for c in line.counts)


# --- a camera -----------------------------------------------------------------------------------


def test_two_half_minutes_are_said_as_one_minute_as_soon_as_both_are_there():
    _, said, _ = fold_all([part(0, cars=2), part(1, cars=3)])

    assert [(f.window_ms, f.start_ms, count(f), f.coverage, f.revision) for f in said] == [(MINUTE, T0, 5, 1.0, 0)]


def test_ten_half_minutes_are_also_said_as_five_minutes():
    _, said, _ = fold_all(part(n, cars=n) for n in range(10))

    five = [f for f in said if f.window_ms == FIVE]
    assert [(f.start_ms, count(f), f.coverage) for f in five] == [(T0, 45, 1.0)]
    assert sum(count(f) for f in said if f.window_ms == MINUTE) == 45


def test_a_window_with_a_part_missing_is_said_after_the_grace_with_its_coverage():
    _, said, _ = fold_all([part(0, cars=4), part(2)])
    assert [(f.start_ms, count(f), f.coverage) for f in said if f.window_ms == MINUTE] == [(T0, 4, 0.5)]

    _, none_yet, _ = fold_all([part(0, cars=4)])
    assert none_yet == []


def test_a_late_part_within_the_time_kept_revises_what_was_said():
    _, said, _ = fold_all([part(0, cars=4), part(2), part(1, cars=6)])

    minutes = [f for f in said if f.start_ms == T0 and f.window_ms == MINUTE]
    assert [(f.revision, count(f), f.coverage) for f in minutes] == [(0, 4, 0.5), (1, 10, 1.0)]


def test_a_revision_replaces_and_never_adds():
    _, said, _ = fold_all([part(0, cars=2), part(1, cars=3), part(1, cars=1, revision=1)])

    assert [(f.revision, count(f)) for f in said] == [(0, 5), (1, 3)]


def test_a_revision_that_changes_nothing_is_remembered_but_not_said():
    state, said, _ = fold_all([part(0), part(1), part(1, revision=1)])

    assert [f.revision for f in said] == [0]
    assert fold_camera(state, part(1, revision=1)).repeated


def test_a_repeat_or_an_older_revision_writes_nothing():
    state, _, _ = fold_all([part(0, revision=2)])

    assert fold_camera(state, part(0, revision=2)) == Folded(None, repeated=True)
    assert fold_camera(state, part(0, cars=99, revision=1)) == Folded(None, repeated=True)


def test_a_part_before_the_time_kept_is_late_and_not_counted():
    state, said, _ = fold_all([part(0), part(100)])

    folded = fold_camera(state, part(1, cars=50))
    assert folded.late
    assert not folded.flows
    assert all(count(f) < 50 for f in said)


def test_a_silence_longer_than_the_time_kept_still_says_the_windows_before_it():
    _, said, _ = fold_all([part(0, cars=7), part(1000)])

    assert {(f.window_ms, count(f), f.coverage) for f in said if f.start_ms == T0} == {(MINUTE, 7, 0.5), (FIVE, 7, 0.1)}


def test_a_minute_of_which_nothing_is_known_is_never_said():
    _, said, _ = fold_all([part(0), part(1), part(8), part(9), part(12)])

    minutes = {f.start_ms for f in said if f.window_ms == MINUTE}
    assert T0 + MINUTE not in minutes
    assert T0 in minutes


def test_a_camera_whose_clock_went_back_is_heard_again_after_four_late_parts():
    far = [part(1_000_000 + n) for n in range(3)]
    _, said, results = fold_all([*far, *(part(n, cars=1) for n in range(8))])

    assert [r.late for r in results[3:]] == [True, True, True, False, False, False, False, False]
    assert {f.start_ms for f in said if f.window_ms == MINUTE} >= {T0 + 2 * MINUTE, T0 + 3 * MINUTE}


def test_one_late_part_told_four_times_does_not_turn_the_clock_back():
    _, _, results = fold_all([part(1_000_000), *[part(0)] * 6])

    assert all(r.late for r in results[1:])


def test_a_mean_is_weighted_by_the_time_seen():
    _, said, _ = fold_all([part(0, mean=4.0, coverage=1.0), part(1, mean=1.0, coverage=0.5)])

    assert said[0].zones[0].mean_vehicles == 3.0
    assert said[0].zones[0].max_vehicles == 4
    assert said[0].coverage == 0.75


def test_a_zone_nobody_saw_stays_unknown():
    _, said, _ = fold_all([part(0, mean=None, coverage=0.0), part(1, mean=None, coverage=0.0)])

    assert said[0].zones == [ZoneFlow(zone="box", mean_vehicles=None, max_vehicles=None, occupied_share=None)]
    assert said[0].coverage == 0.0


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (part(0, length=MINUTE), "cannot be a part of 30000 ms"),
        (msgspec.structs.replace(part(0), start_ms=T0 + 1), "not aligned"),
        (part(0, coverage=1.5), "a share, 0 to 1"),
        (part(0, coverage=float("nan")), "a share, 0 to 1"),
    ],
)
def test_a_part_that_cannot_be_one_is_poison(wrong, says):
    with pytest.raises(Poison, match=says):
        fold_camera(None, wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"windows_ms": ()},
        {"windows_ms": (45_000,)},
        {"windows_ms": (120_000, 300_000)},
        {"keep_ms": 300_000},
    ],
)
def test_a_policy_that_would_lose_windows_is_refused(wrong):
    with pytest.raises(ValueError):
        msgspec.structs.replace(CAMERAS, **wrong)


# --- a group ------------------------------------------------------------------------------------


def test_a_group_speaks_at_once_when_every_member_did():
    said = tell([member(0, "a", cars=2), member(0, "b", cars=3)])

    assert len(said) == 1
    flow = said[0]
    assert (flow.place, flow.kind, flow.members, flow.members_expected, flow.coverage) == ("g", "group", 2, 2, 1.0)
    assert {line.line: line.counts[0].count for line in flow.lines} == {"a/stop": 2, "b/stop": 3}
    assert {zone.zone for zone in flow.zones} == {"a/box", "b/box"}


def test_a_group_speaks_at_the_fastest_member_plus_grace_and_revises_later():
    said = tell([member(0, "a"), member(1, "a"), member(0, "b", cars=9)])

    first = [f for f in said if f.start_ms == T0 and f.window_ms == MINUTE]
    assert [(f.revision, f.members, f.members_expected, f.coverage, count(f)) for f in first] == [
        (0, 1, 2, 0.5, 1),
        (1, 2, 2, 1.0, 10),
    ]


def test_members_that_say_nothing_count_as_not_seen():
    said = tell([member(0, "a", expected=4, coverage=0.8), member(1, "a", expected=4)])

    assert said[0].coverage == 0.2


def test_a_new_membership_holds_for_the_windows_told_under_it():
    said = tell([member(0, "a"), member(0, "b"), member(1, "a", group_revision=2, expected=1)])

    assert [(f.start_ms, f.members_expected) for f in said if f.window_ms == MINUTE] == [(T0, 2), (T0 + MINUTE, 1)]


def test_coverage_never_exceeds_one_when_a_group_shrinks_in_the_middle():
    said = tell([member(0, "a"), member(0, "b", group_revision=2, expected=1)])

    assert all(f.coverage <= 1.0 and f.members_expected >= f.members for f in said)


# --- laws ---------------------------------------------------------------------------------------

SPAN = 24  # parts; within the time kept, so that nothing is late
one_part = st.builds(
    lambda n, cars, revision, coverage: part(
        n, cars=cars + revision * 100, revision=revision, coverage=coverage / 4, mean=float(cars)
    ),
    st.integers(0, SPAN),
    st.integers(0, 20),
    st.integers(0, 2),
    st.integers(0, 4),
)


def agreed(parts: list[Flow]) -> list[Flow]:
    """One content for each (start, revision): what a deterministic track writes."""
    return list({(p.place, p.start_ms, p.revision): p for p in parts}.values())


@st.composite
def histories(draw, of=one_part):
    """A set of parts, told in some order with some repeats."""
    once = agreed(draw(st.lists(of, min_size=1, max_size=40)))
    told = draw(st.permutations(once + draw(st.lists(st.sampled_from(once), max_size=10))))
    return once, told


@given(histories())
def test_order_and_repeats_change_no_final_value(history):
    once, told = history

    assert values(fold_all(told)[1]) == values(fold_all(once)[1])


@given(histories())
def test_no_vehicle_is_lost_or_invented(history):
    once, told = history
    newest = {}
    for p in once:
        if p.start_ms not in newest or newest[p.start_ms].revision < p.revision:
            newest[p.start_ms] = p
    end = [part(SPAN + 40, cars=0), part(SPAN + 41, cars=0)]  # lets every window of the history close
    said = last_words(fold_all([*told, *end])[1])

    for window in CAMERAS.windows_ms:
        got = {
            start: count(flow)
            for (_, w, start), flow in said.items()
            if w == window and start < T0 + (SPAN + 20) * PART
        }
        want: dict[int, int] = {}
        for p in newest.values():
            begin = p.start_ms // window * window
            want[begin] = want.get(begin, 0) + count(p)
        assert got == want


@given(histories(), st.data())
def test_a_crash_and_a_replay_from_an_older_state_say_the_same_words(history, data):
    """The words said before the crash stay in the log; those said again must be the same, revision by revision."""
    _, told = history
    crash = data.draw(st.integers(0, len(told)))
    snapshot = data.draw(st.integers(0, crash))
    _, without, _ = fold_all(told)

    state, said, _ = fold_all(told[:snapshot])
    _, lost, _ = fold_all(told[snapshot:crash], state)  # acknowledged words, the state of which was never saved
    saved = state_from(state_bytes(state), Rollup) if state else None
    _, again, _ = fold_all(told[snapshot:], saved)

    assert last_words([*said, *lost, *again]) == last_words(without)


@given(histories(), st.data())
def test_records_read_again_after_the_state_was_saved_change_nothing(history, data):
    _, told = history
    saved = data.draw(st.integers(1, len(told)))
    committed = data.draw(st.integers(0, saved))
    state, said, _ = fold_all(told[:saved])

    after, again, _ = fold_all(told[committed:saved], state)

    assert again == []
    assert after == state
    assert last_words(said + fold_all(told[committed:], state)[1]) == last_words(fold_all(told)[1])


wild_part = st.builds(
    lambda n, cars, revision: part(n, cars=cars + revision * 100, revision=revision),
    st.one_of(st.integers(0, 200), st.integers(1_000_000, 1_000_003)),  # long stretches, and a clock that jumps years
    st.integers(0, 20),
    st.integers(0, 1),
)


@given(histories(of=wild_part), st.data())
def test_a_crash_far_back_in_the_log_changes_no_word_when_positions_are_known(history, data):
    """However much is read again, and whatever the clock did, it is told apart from parts that are new or late."""
    _, told = history
    log = list(enumerate(told))

    def follow(records, state=None):
        said = []
        for offset, one in records:
            folded = fold_camera(state, one, position=(offset, 1_000 + offset))
            said += folded.flows
            state = folded.state or state
        return state, said

    crash = data.draw(st.integers(1, len(log)))
    saved = data.draw(st.integers(1, crash))
    committed = data.draw(st.integers(0, saved))
    whole, once = follow(log)
    state, said = follow(log[:saved])
    said += follow(log[saved:crash], state)[1]  # acknowledged, but the state of which was never saved
    after, again = follow(log[committed:], state_from(state_bytes(state), Rollup))

    assert set(map(repr, [*said, *again])) == set(map(repr, once))
    assert after == whole


def test_a_log_that_was_made_anew_is_not_taken_for_one_read_again():
    state = fold_camera(None, part(0), position=(5_000, 100)).state

    assert fold_camera(state, part(1), position=(0, 200)).flows
    assert fold_camera(state, part(1), position=(4_999, 99)).repeated


one_member = st.builds(
    lambda n, camera, cars, revision: member(n, camera, cars=cars + revision * 100, revision=revision, expected=3),
    st.integers(0, 10),
    st.sampled_from(["a", "b", "c"]),
    st.integers(0, 20),
    st.integers(0, 2),
)


@st.composite
def member_histories(draw):
    once = list(
        {
            (m.flow.place, m.flow.start_ms, m.flow.revision): m
            for m in draw(st.lists(one_member, min_size=1, max_size=40))
        }.values()
    )
    return once, draw(st.permutations(once + draw(st.lists(st.sampled_from(once), max_size=10))))


@given(member_histories())
def test_order_and_repeats_change_no_final_value_of_a_group(history):
    once, told = history

    assert values(tell(told)) == values(tell(once))


@given(member_histories(), st.data())
def test_a_group_survives_crashes_between_any_two_of_its_writes(history, data):
    """Killed after its words, or after some of its values, it reads the record again: no word changes, none is missing."""
    _, told = history
    log = list(enumerate(told))
    whole = GroupTable()
    once = [flow for offset, one in log for flow in whole.fold(one, (offset, offset)).flows]

    table, said, offset = GroupTable(), [], 0
    crashes = data.draw(st.lists(st.integers(0, 3), max_size=10))
    while offset < len(log):
        if crashes:
            said += table.fold(log[offset][1], (offset, offset), keep=crashes.pop()).flows
            offset = data.draw(st.integers(max(0, offset - 5), offset))  # the last commit
        else:
            said += table.fold(log[offset][1], (offset, offset)).flows
            offset += 1

    assert last_words(said) == last_words(once)
    assert table.values == whole.values


def test_members_hours_apart_are_summed_all_the_same():
    """While a backlog is worked off, one camera's log may be read long before another's."""
    said = tell([*(member(n, "a") for n in range(300)), *(member(n, "b", cars=3) for n in range(300))])

    assert {(f.members, f.coverage, count(f)) for f in last_words(said).values() if f.window_ms == MINUTE} == {
        (2, 1.0, 4)
    }


def test_a_member_that_is_further_behind_than_detections_are_kept_is_late():
    table = GroupTable()
    tell([member(0, "a"), member(600, "a")], table)

    assert table.fold(member(0, "b")).late
    assert not table.fold(member(300, "b")).late


def test_a_group_forgets_stretches_that_no_member_can_change_any_more():
    table = GroupTable()
    tell((member(n, "a", expected=1) for n in range(1000)), table)

    assert len(table.values) - 1 <= (GROUPS.keep_ms + FIVE) // FIVE


@given(st.integers(0, 20), st.integers(0, 20))
def test_merged_heads_know_what_either_knew(one, other):
    heads = []
    for n in (one, other, max(one, other)):
        table = GroupTable()
        tell([member(k, "a", expected=1) for k in range(n + 1)], table)
        heads.append(state_from(table.values["head"], Head))

    assert merge_heads(heads[0], heads[1], GROUPS) == merge_heads(heads[1], heads[0], GROUPS)
    assert merge_heads(heads[0], heads[1], GROUPS).newest_ms == heads[2].newest_ms
    assert merge_heads(heads[0], heads[1], GROUPS).stretches.keys() == heads[2].stretches.keys()


@given(histories(), st.data())
def test_merging_what_two_writers_saved_loses_nothing_of_either(history, data):
    """Both followed the same log; whichever wrote last, the state read back is that of the one who was further."""
    _, told = history
    here = data.draw(st.integers(1, len(told)))
    there = data.draw(st.integers(1, len(told)))
    one, other, further = (fold_all(told[:n])[0] for n in (here, there, max(here, there)))

    assert merge(one, other, CAMERAS) == merge(other, one, CAMERAS) == further
    assert merge(one, one, CAMERAS) == one


@settings(max_examples=20)
@given(st.integers(1, 400))
def test_a_state_stays_bounded_however_long_the_camera_runs(parts):
    state, _, _ = fold_all(part(n) for n in range(parts))

    assert sum(len(known) for known in state.parts.values()) <= (CAMERAS.keep_ms + FIVE) // PART
    assert sum(len(known) for known in state.said.values()) <= (CAMERAS.keep_ms + FIVE) // PART


CAMERA_V1 = (
    "9901a26331a663616d657261cf0000019b76db1d300081a2633182cf0000019b76daa8009693000001cb3ff00000000000009192a473746f"
    "709193a8746f5f7269676874a3636172019194a3626f78cb3ff000000000000001cb3fe0000000000000c090cf0000019b76db1d30969300"
    "0001cb3fd00000000000009192a473746f709193a8746f5f7269676874a3636172019194a3626f78cb3ff000000000000001cb3fe0000000"
    "000000c09081cdea6081cf0000019b76daa800009092ffff"
)
HEAD_V1 = "9401a167cf0000019b76daa80081cf0000019b76daa800c3"
STRETCH_V1 = (
    "9901a167a567726f7570cf0000019b76daa8000082a16181cf0000019b76daa8009693000102cb3ff00000000000009192a473746f709193"
    "a8746f5f7269676874a3636172029194a3626f78cb3ff000000000000001cb3fe0000000000000c090a16281cf0000019b76daa800969300"
    "0102cb3ff00000000000009192a473746f709193a8746f5f7269676874a3636172039194a3626f78cb3ff000000000000001cb3fe0000000"
    "000000c09081cdea6081cf0000019b76daa800009092ffff"
)


def test_states_saved_by_the_first_version_are_read_and_written_as_they_were():
    """These lie in changelogs; a new layout needs a new SNAPSHOT_VERSION that reads this one."""
    camera, _, _ = fold_all([part(0), part(1, coverage=0.25)])
    group = GroupTable()
    tell([member(0, "a", cars=2), member(0, "b", cars=3)], group)

    assert state_from(bytes.fromhex(CAMERA_V1), Rollup) == camera
    assert state_from(bytes.fromhex(HEAD_V1), Head) == state_from(group.values["head"], Head)
    assert state_from(bytes.fromhex(STRETCH_V1), Rollup) == group.stretch(T0)
    assert state_bytes(camera).hex() == CAMERA_V1


def test_a_state_survives_its_bytes():
    state, _, _ = fold_all([part(0), part(1, coverage=0.25), part(3, mean=None)])

    assert state_from(state_bytes(state), Rollup) == state


@pytest.mark.parametrize(
    "data", [b"", b"\xc1", b"nonsense", msgspec.msgpack.encode([99, "c1"]), msgspec.msgpack.encode({"a": 1})]
)
def test_bytes_that_are_no_state_are_poison(data):
    with pytest.raises(Poison, match="saved roll-up"):
        state_from(data, Rollup)


def test_a_group_takes_no_half_minutes():
    half = Member(group=GroupId("g"), group_revision=1, expected=1, flow=part(0, camera="a"))
    with pytest.raises(Poison, match="cannot be a part of 60000 ms"):
        GroupTable().fold(half)


def test_a_policy_reads_from_settings():
    assert msgspec.convert(
        {"part_ms": 1, "windows_ms": [2], "grace_ms": 0, "keep_ms": 4}, RollupPolicy, strict=False
    ).windows_ms == (2,)


def test_mean_speeds_are_summed_up_by_how_many_are_known():
    def fast(n, known, mean):
        flow = part(n)
        speed = FlowSpeed(direction=Way.TO_RIGHT, speeds=known, mean_kmh=mean, median_kmh=mean)
        return msgspec.structs.replace(flow, lines=[msgspec.structs.replace(flow.lines[0], speeds=[speed])])

    flows = fold_all([fast(0, 1, 80.0), fast(1, 3, 40.0)])[1]
    minute = next(f for f in flows if f.window_ms == 60_000)
    nothing = next(f for f in fold_all([fast(0, 0, None), fast(1, 0, None)])[1] if f.window_ms == 60_000)

    assert minute.lines[0].speeds == [FlowSpeed(direction=Way.TO_RIGHT, speeds=4, mean_kmh=50.0, median_kmh=None)]
    assert nothing.lines[0].speeds[0].mean_kmh is None
