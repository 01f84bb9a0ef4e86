"""Every picture's true boxes, and the same as files: lines of JSON, and the format of MOTChallenge."""

from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

from pipeline.simulate.journeys import Recording
from pipeline.simulate.scenario import Scenario
from pipeline.simulate.view import view

MOT_CLASSES = {"person": 1, "car": 3, "truck": 3, "bus": 3, "bicycle": 4, "motorcycle": 5}
"""MOT16's numbers. It knows one class for all motor vehicles on four wheels, and its tools refuse other numbers."""

LEAST_VISIBLE = 0.1
"""MOTChallenge files ask to ignore boxes of which less than this is visible: nobody could mark them by hand."""


_SHARES = ("x1", "y1", "x2", "y2", "visible", "inside", "occluded")


class TrueBox(msgspec.Struct, frozen=True, kw_only=True):
    """One road user in one picture. The box is whole: it may leave 0..1."""

    user: int
    label: str = msgspec.field(name="class")
    x1: float
    y1: float
    x2: float
    y2: float
    visible: Annotated[float, Meta(ge=0, le=1, description="Share of the silhouette in the picture and not hidden.")]
    inside: Annotated[float, Meta(ge=0, le=1, description="Share of the whole box in the picture.")]
    occluded: Annotated[
        float, Meta(ge=0, le=1, description="Share of the silhouette in the picture, but behind other users.")
    ]
    speed_kmh: Annotated[float, Meta(ge=0)]


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """What is truly in one picture."""

    number: int  # from 0
    t_ms: float  # since the start of the recording
    boxes: tuple[TrueBox, ...]  # in the order of the recording's journeys; also those of which nothing is visible


def frames(recording: Recording, scenario: Scenario, fps: float) -> Iterator[Picture]:
    """The pictures the scenario's camera takes, from t = 0, before the recording's end.

    Raises:
        ValueError: fps is not above 0.
    """
    if not fps > 0:
        raise ValueError(f"fps must be above 0, got {fps:g}")
    number = 0
    while (t_ms := number * 1000 / fps) < recording.duration_ms:
        seen = view(recording, scenario.camera, t_ms)
        columns = zip(
            seen.index, seen.x1, seen.y1, seen.x2, seen.y2, seen.visible, seen.inside, seen.occluded, seen.speed_ms,
            strict=True,
        )  # fmt: skip
        yield Picture(
            number=number,
            t_ms=t_ms,
            boxes=tuple(
                TrueBox(
                    user=recording.journeys[index].id,
                    label=recording.journeys[index].label,
                    x1=float(x1),
                    y1=float(y1),
                    x2=float(x2),
                    y2=float(y2),
                    visible=float(visible),
                    inside=float(inside),
                    occluded=float(occluded),
                    speed_kmh=float(speed_ms) * 3.6,
                )
                for index, x1, y1, x2, y2, visible, inside, occluded, speed_ms in columns
            ),
        )
        number += 1


class Frame(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of a frames file: everyone of whom any part of the whole box is in one picture."""

    t_ms: Annotated[float, Meta(ge=0, description="Since the start of the recording.")]
    users: Annotated[tuple[TrueBox, ...], Meta(description="With the ids and classes of the truth file.")]


def frame_lines(recording: Recording, scenario: Scenario, fps: float) -> Iterator[bytes]:
    """The frames file, line by line: JSON as the published `frames.schema.json` has it, one line a picture.

    Shares are rounded to a millionth, speeds to a thousandth of a km/h, times to a microsecond.

    Raises:
        ValueError: fps is not above 0.
    """
    for picture in frames(recording, scenario, fps):
        users = tuple(
            msgspec.structs.replace(
                box,
                speed_kmh=round(box.speed_kmh, 3),
                **{name: round(getattr(box, name), 6) for name in _SHARES},
            )
            for box in picture.boxes
        )
        yield msgspec.json.encode(Frame(t_ms=round(picture.t_ms, 3), users=users)) + b"\n"


class MotFiles(msgspec.Struct, frozen=True):
    """The texts of gt/gt.txt and seqinfo.ini of one MOTChallenge sequence."""

    gt: str
    seqinfo: str


def mot(recording: Recording, scenario: Scenario, fps: float) -> MotFiles:
    """The true boxes as MOTChallenge keeps them.

    A line of gt.txt is frame, id, left, top, width, height, flag, class, visibility. Frames, ids (user + 1) and pixels
    count from 1: a box at the picture's corner begins at 1, 1. Boxes are whole and may leave the picture. The flag is
    0 (ignore) for classes the scenario's lines do not count and where less than LEAST_VISIBLE is visible.

    Source:
        Milan et al., MOT16: A Benchmark for Multi-Object Tracking, arXiv:1603.00831, section 4.3 and table 3.
    """
    width, height = scenario.size.width, scenario.size.height
    lines, count = [], 0
    for picture in frames(recording, scenario, fps):
        count = picture.number + 1
        for box in picture.boxes:
            flag = int(box.label in scenario.classes and box.visible >= LEAST_VISIBLE)
            left, top = box.x1 * width + 1, box.y1 * height + 1
            wide, high = (box.x2 - box.x1) * width, (box.y2 - box.y1) * height
            lines.append(
                f"{count},{box.user + 1},{left:.2f},{top:.2f},{wide:.2f},{high:.2f},{flag},"
                f"{MOT_CLASSES[box.label]},{box.visible:.3f}\n"
            )
    seqinfo = (
        f"[Sequence]\nname={recording.scenario}-{recording.seed}\nimDir=img1\nframeRate={fps:g}\nseqLength={count}\n"
        f"imWidth={width}\nimHeight={height}\nimExt=.jpg\n"
    )
    return MotFiles(gt="".join(lines), seqinfo=seqinfo)
