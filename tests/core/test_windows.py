from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.model import Clock, Crossing, Line, Scene, Size, Way, Zone
from pipeline.core.windows import WindowPolicy, Windows, counted, passed, saw

POLICY = WindowPolicy()
SCENE = Scene(
    drawn_on=Size(640, 352),
    revision=3,
    lines=[Line(name="a", start=(0, 0.5), end=(1, 0.5))],
    zones=[Zone(name="z", points=[(0, 0), (1, 0), (1, 1)])],
)


def crossing(ms, line="a", way=Way.TO_RIGHT, label="car"):
    return Crossing(
        id=f"{ms}", camera="c", line=line, direction=way, label=label, score=0.9, captured_ms=ms, x=0, y=0, track="t",
        clock=Clock.FILE, scene_revision=3, epoch=0,
    )  # fmt: skip


def flows(windows, now_ms, *, final=False):
    return passed(windows, now_ms, camera="c", scene=SCENE, policy=POLICY, final=final)


def test_a_window_that_nobody_saw_has_no_coverage_and_no_occupancy():
    windows, _ = flows(Windows(), 0)
    _, (flow,) = flows(windows, 35_000)

    assert flow.coverage == 0
    assert flow.zones[0].mean_vehicles is None
    assert flow.lines[0].counts == []


def test_a_window_seen_throughout_has_full_coverage_and_its_counts_by_way_and_class():
    windows = saw(Windows(), 0, 30_000, {"z": 2}, POLICY)
    windows = counted(windows, [crossing(10), crossing(20), crossing(20, way=Way.TO_LEFT, label="bus")], POLICY)
    _, (flow,) = flows(windows, 35_000)

    assert flow.coverage == 1
    assert [(c.direction, c.label, c.count) for c in flow.lines[0].counts] == [
        ("to_left", "bus", 1),
        ("to_right", "car", 2),
    ]
    assert (flow.zones[0].mean_vehicles, flow.zones[0].max_vehicles, flow.zones[0].occupied_share) == (2, 2, 1)


def test_a_crossing_that_becomes_known_late_revises_its_window():
    windows = saw(Windows(), 0, 36_000, {}, POLICY)
    windows, (first,) = flows(windows, 36_000)
    windows, (second,) = flows(counted(windows, [crossing(29_990)], POLICY), 37_000)

    assert (first.revision, second.revision) == (0, 1)
    assert second.lines[0].counts[0].count == 1


def test_a_window_is_forgotten_when_it_can_no_longer_change():
    windows = saw(Windows(), 0, 30_000, {}, POLICY)
    windows, _ = flows(windows, 151_000)

    assert [w.start_ms for w in windows.open] == [150_000]


def test_the_end_of_a_file_closes_the_last_window():
    windows = saw(Windows(), 0, 12_000, {}, POLICY)
    _, (flow,) = flows(windows, 12_000, final=True)

    assert flow.coverage == 0.4


@given(st.lists(st.integers(1, 20_000), min_size=1, max_size=40), st.lists(st.integers(0, 300_000), max_size=20))
def test_the_windows_together_hold_every_crossing_and_every_second_seen(steps, crossings):
    windows, at, out = Windows(), 0, {}
    for ms in steps:
        windows = saw(windows, at, at + ms, {}, POLICY)
        windows = counted(windows, [crossing(c) for c in crossings if at <= c < at + ms], POLICY)
        at += ms
        windows, said = flows(windows, at)
        out.update({f.start_ms: f for f in said})
    _, said = flows(windows, at, final=True)
    out.update({f.start_ms: f for f in said})

    assert sum(c.count for f in out.values() for line in f.lines for c in line.counts) == len(
        [c for c in crossings if c < at]
    )
    assert abs(sum(f.coverage * f.window_ms for f in out.values()) - at) <= 2 * len(out)
