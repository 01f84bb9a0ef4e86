"""Ultralytics' ObjectCounter on its trackers, by their own code, without a model: detections are given.

The counter compares the middles of a track's boxes. On a line that is more across than along the picture it counts
`in` what moves down, on others what moves right. A camera that stands still needs no compensation of its motion,
and there are no pictures here to compute it from.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

import numpy as np

from benchmarks.accuracy.contestant import Contestant, Counters, Event, Value
from benchmarks.accuracy.line_zone import AGNOSTIC
from benchmarks.accuracy.peers import peer, versions
from benchmarks.accuracy.streams import LABELS, Sample
from pipeline.core.model import Line, Size, Way

BUFFER_S = "track_buffer_s"
"""Setting: how long a lost track is kept, in seconds; the default is 30 pictures, whatever their rate."""


def _count(yaml: str) -> Callable[[Sample, Mapping[str, Value], Counters], list[list[Event]]]:
    def count(sample: Sample, tracker: Mapping[str, Value], _counters: Counters) -> list[list[Event]]:
        torch, boxes_class = peer("torch"), peer("ultralytics.engine.results").Boxes
        following = _tracker(yaml, tracker, sample.fps)
        stream, size = sample.stream, sample.stream.scene.drawn_on
        scale = np.array([size.width, size.height, size.width, size.height], dtype=np.float64)
        counters = [_counter(line, size) for line in stream.scene.lines]
        events: list[Event] = []
        for picture in sample.pictures.tolist():
            rows = stream.rows(picture)
            given = np.column_stack([stream.boxes[rows] * scale, stream.score[rows], stream.label[rows]])
            if AGNOSTIC in tracker and len(given):
                given = given[_suppressed(given, float(tracker[AGNOSTIC]))]
            tracks = following.update(boxes_class(given.astype(np.float32), (size.height, size.width)))
            found = torch.as_tensor(tracks).reshape(-1, 8)
            gone = [track.track_id for track in following.removed_stracks_frame]
            t_ms = int(stream.t_ms[picture])
            for line, counter in zip(stream.scene.lines, counters, strict=True):
                counter.forget_tracks(gone)
                entered, left = counter.in_count, counter.out_count
                for box, number, label in zip(
                    found[:, :4], found[:, 4].int().tolist(), found[:, 6].tolist(), strict=True
                ):
                    counter.store_tracking_history(number, box)
                    history = counter.track_history[number]
                    counter.count_objects(history[-1], number, history[-2] if len(history) > 1 else None, label)
                inwards = in_is(line, size)
                outwards = Way.TO_LEFT if inwards is Way.TO_RIGHT else Way.TO_RIGHT
                events += [Event(line.name, inwards, t_ms)] * (counter.in_count - entered)
                events += [Event(line.name, outwards, t_ms)] * (counter.out_count - left)
        return [events]

    return count


def in_is(line: Line, size: Size) -> Way:
    """The direction that ObjectCounter calls `in`, in our words."""
    across, down = (line.end[0] - line.start[0]) * size.width, (line.end[1] - line.start[1]) * size.height
    to_right = -down > 0 if abs(across) < abs(down) else across > 0
    return Way.TO_RIGHT if to_right else Way.TO_LEFT


def _tracker(yaml: str, setting: Mapping[str, Value], fps: float) -> Any:
    utils, trackers = peer("ultralytics.utils"), peer("ultralytics.trackers.track")
    path = peer("ultralytics.utils.checks").check_yaml(yaml)
    told = utils.YAML.load(path) | {key: value for key, value in setting.items() if key not in {BUFFER_S, AGNOSTIC}}
    if BUFFER_S in setting:
        told["track_buffer"] = max(1, round(float(setting[BUFFER_S]) * fps))
    told["gmc_method"] = "none"
    return trackers.TRACKER_MAP[told["tracker_type"]](args=utils.IterableSimpleNamespace(**told))


def _suppressed(given: Any, overlap: float) -> Any:
    torch, ops = peer("torch"), peer("torchvision").ops
    return ops.nms(torch.as_tensor(given[:, :4]), torch.as_tensor(given[:, 4]), overlap).numpy()


def _counter(line: Line, size: Size) -> Any:
    """An ObjectCounter without the model that its constructor would load."""
    made = peer("ultralytics.solutions.object_counter").ObjectCounter
    geometry = peer("shapely.geometry")
    counter = made.__new__(made)
    counter.LineString, counter.Polygon, counter.Point = geometry.LineString, geometry.Polygon, geometry.Point
    counter.region = [(p[0] * size.width, p[1] * size.height) for p in (line.start, line.end)]
    counter.names = dict(enumerate(LABELS))
    counter.in_count = counter.out_count = 0
    counter.counted_ids, counter.track_history, counter.classwise_count = (
        set(),
        defaultdict(list),
        defaultdict(_in_and_out),
    )
    counter.initialize_region()
    return counter


def _in_and_out() -> dict[str, int]:
    return {"IN": 0, "OUT": 0}


def _version() -> str:
    return versions("ultralytics-opencv-headless", "lap", "shapely")


_SOUND: Mapping[str, Value] = {BUFFER_S: 1.5, AGNOSTIC: 0.65}

_BYTE: tuple[Mapping[str, Value], ...] = (
    {},
    {BUFFER_S: 1.5},
    *(
        {**_SOUND, "match_thresh": match, "fuse_score": fuse, "new_track_thresh": new}
        for match, fuse, new in product((0.8, 0.95), (True, False), (0.25, 0.5))
    ),
)

_TRACK: tuple[Mapping[str, Value], ...] = (
    {},
    {BUFFER_S: 1.5},
    *(
        {**_SOUND, "track_high_thresh": 0.35, "track_low_thresh": 0.1, "new_track_thresh": new, "match_thresh": match, "min_track_len": least}
        for new, match, least in product((0.35, 0.5), (0.7, 0.9), (1, 3))
    ),
)  # fmt: skip

CONTESTANTS = tuple(
    Contestant(
        key=f"objectcounter-{name.lower().replace('-', '')}",
        title=f"Ultralytics ObjectCounter, {name}",
        version=_version,
        count=_count(yaml),
        trackers=grid,
    )
    for name, yaml, grid in (
        ("ByteTrack", "bytetrack.yaml", _BYTE),
        ("BoT-SORT", "botsort.yaml", _BYTE),
        ("TrackTrack", "tracktrack.yaml", _TRACK),
    )
)
