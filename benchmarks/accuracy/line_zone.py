"""supervision's LineZone on the trackers of Roboflow's `trackers`, as their documentation puts them together.

Its line counts `in` what goes to the left hand of who stands at its start and faces its end (y down).
"""

from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

import numpy as np

from benchmarks.accuracy.contestant import Contestant, Counters, Event, Value
from benchmarks.accuracy.peers import peer, versions
from benchmarks.accuracy.streams import Sample
from pipeline.core.model import Way

TIMES = "true_times"
"""Setting: the tracker is told the true frame rate and each picture's time; else its default of 30 a second."""

BUFFERED = "buffered_iou"
"""Setting: boxes are grown by this share of their size before their overlap is taken."""

AGNOSTIC = "agnostic_nms"
"""Setting: of boxes of any classes that overlap more than this, one is kept before tracking."""

_OURS = {TIMES, BUFFERED, AGNOSTIC}

ANCHORS, THRESHOLD = "anchors", "minimum_crossing_threshold"

COUNTERS: Counters = (
    {},
    {ANCHORS: "BOTTOM_CENTER"},
    {ANCHORS: "CENTER"},
    {ANCHORS: "BOTTOM_CENTER", THRESHOLD: 2},
)


def _count(class_name: str) -> Callable[[Sample, Mapping[str, Value], Counters], list[list[Event]]]:
    def count(sample: Sample, tracker: Mapping[str, Value], counters: Counters) -> list[list[Event]]:
        supervision = peer("supervision")
        following = _tracker(class_name, tracker, sample.fps)
        stream, size = sample.stream, sample.stream.scene.drawn_on
        scale = np.array([size.width, size.height, size.width, size.height], dtype=np.float64)
        lines = [[_line(supervision, line, size, counter) for line in stream.scene.lines] for counter in counters]
        events: list[list[Event]] = [[] for _ in counters]
        for picture in sample.pictures.tolist():
            rows = stream.rows(picture)
            seen = supervision.Detections(
                xyxy=(stream.boxes[rows] * scale).astype(np.float32),
                confidence=stream.score[rows].astype(np.float32),
                class_id=stream.label[rows].astype(int),
            )
            if AGNOSTIC in tracker:
                seen = seen.with_nms(threshold=tracker[AGNOSTIC], class_agnostic=True)
            t_ms = int(stream.t_ms[picture])
            followed = following.update(seen, timestamp=t_ms / 1000) if tracker.get(TIMES) else following.update(seen)
            for said, zones in zip(events, lines, strict=True):
                for line, zone in zip(stream.scene.lines, zones, strict=True):
                    crossed_in, crossed_out = zone.trigger(followed)
                    said.extend([Event(line.name, Way.TO_LEFT, t_ms)] * int(crossed_in.sum()))
                    said.extend([Event(line.name, Way.TO_RIGHT, t_ms)] * int(crossed_out.sum()))
        return events

    return count


def _tracker(class_name: str, setting: Mapping[str, Value], fps: float) -> Any:
    trackers = peer("trackers")
    given: dict[str, Any] = {key: value for key, value in setting.items() if key not in _OURS}
    if setting.get(TIMES):
        given["frame_rate"] = fps
    if BUFFERED in setting:
        given["iou"] = trackers.BIoU(buffer_ratio=setting[BUFFERED])
    return getattr(trackers, class_name)(**given)


def _line(supervision: Any, line: Any, size: Any, counter: Mapping[str, Value]) -> Any:
    given: dict[str, Any] = {}
    if ANCHORS in counter:
        given["triggering_anchors"] = [supervision.Position[counter[ANCHORS]]]
    if THRESHOLD in counter:
        given[THRESHOLD] = counter[THRESHOLD]
    start, end = (supervision.Point(p[0] * size.width, p[1] * size.height) for p in (line.start, line.end))
    return supervision.LineZone(start=start, end=end, **given)


def _grid(**choices: tuple[Value, ...]) -> tuple[Mapping[str, Value], ...]:
    """The defaults, then every combination with the true times."""
    return ({}, *({TIMES: True, **dict(zip(choices, values, strict=True))} for values in product(*choices.values())))


def _version() -> str:
    return versions("supervision", "trackers")


CONTESTANTS = (
    Contestant(
        key="linezone-sort",
        title="supervision LineZone, SORT",
        version=_version,
        count=_count("SORTTracker"),
        trackers=(
            *_grid(minimum_consecutive_frames=(1, 2), buffered_iou=(0.0, 0.5), agnostic_nms=(0.65,)),
            {TIMES: True},
            {TIMES: True, "minimum_consecutive_frames": 1, "minimum_iou_threshold": 0.1, AGNOSTIC: 0.65},
        ),
        counters=COUNTERS,
    ),
    Contestant(
        key="linezone-bytetrack",
        title="supervision LineZone, ByteTrack",
        version=_version,
        count=_count("ByteTrackTracker"),
        trackers=(
            *_grid(
                minimum_consecutive_frames=(1, 2),
                buffered_iou=(0.0, 0.5),
                track_activation_threshold=(0.35, 0.5),
                high_conf_det_threshold=(0.35,),
                agnostic_nms=(0.65,),
            ),
            {TIMES: True},
        ),
        counters=COUNTERS,
    ),
    Contestant(
        key="linezone-ocsort",
        title="supervision LineZone, OC-SORT",
        version=_version,
        count=_count("OCSORTTracker"),
        trackers=(
            *_grid(
                minimum_consecutive_frames=(1, 2),
                buffered_iou=(0.0, 0.5),
                high_conf_det_threshold=(0.35, 0.5),
                agnostic_nms=(0.65,),
            ),
            {TIMES: True},
        ),
        counters=COUNTERS,
    ),
)
