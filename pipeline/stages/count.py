"""count: the same core over files, without a broker, as fast as it goes.

Several files are one survey of one place: each begins, in capture time, where the one before it ended, and vehicles
are followed across the seam. Every picture goes the way it goes in a cluster (thinned, scaled and encoded
once, analysed, rounded, observed), so a file gives the events that a camera showing it would give.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import cast

import msgspec

from pipeline.core.flow_field import FlowField
from pipeline.core.model import (
    Body,
    Boxes,
    Camera,
    CameraId,
    Clock,
    Detections,
    Event,
    Flow,
    Frame,
    Gap,
    GapReason,
    Header,
    HealthChange,
    Occurrence,
    Opened,
    Output,
    Record,
    Scene,
    Size,
)
from pipeline.core.scene import Memory, ScenePolicy, finish, observe
from pipeline.errors import Fatal
from pipeline.ports import BadPicture, Model, Picture, Source


class CountPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How a survey is counted."""

    scene: ScenePolicy = ScenePolicy()
    batch: int = 8  # pictures handed to the model at once
    batches: int = 3  # model calls under way: one being decoded, one inferred, one read


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """An event, with its place in the survey's files."""

    event: Event
    file: str
    t_seconds: float  # from the first frame of that file


class Progress(msgspec.Struct, frozen=True):
    """How far the survey is."""

    file: str
    frames: int  # of this file, so far
    t_seconds: float  # media time reached in it


class Driven(msgspec.Struct, frozen=True):
    """Which way road users drove at each place, as far as the survey learned it."""

    flow: dict[str, FlowField]  # by kind of road user
    size: Size
    picture: bytes | None  # the last one, a JPEG; None: of simulated cameras without pixels


async def count(
    cameras: Sequence[Camera], scene: Scene, *, source: Source, model: Model | None, policy: CountPolicy
) -> AsyncGenerator[Counted | HealthChange | Flow | Progress | Driven, None]:
    """Count a survey.

    Args:
        cameras: one per file, in order, all of one id; their `source` is the path, `start` of the first one says
            when the survey began (none: capture time counts from 0).
        scene: what to count.
        source: opens files and simulated cameras.
        model: sees objects; None will do where nothing but simulated cameras is counted.
        policy: batching and beliefs.

    Yields:
        Events, changes of the camera's health and windows as soon as they are known, and the progress after every
        batch. An event that comes again with a greater revision replaces the earlier one. Last, how it was driven.

    Raises:
        Fatal: a file cannot be read, there is no model for it, or the scene was drawn on a picture of another shape.

    Close it (`aclosing`) when you stop before its end: that ends the file and the model's calls.
    """
    survey = _Survey(scene, policy)
    for camera in cameras:
        survey.begin(camera)
        pictures = cast("AsyncGenerator[Picture, None]", source.pictures(camera))
        async with aclosing(pictures), aclosing(_answered(pictures, model, policy)) as answered:
            async for batch, answers in answered:
                for picture, answer in zip(batch, answers, strict=True):
                    for said in survey.take(picture, answer):
                        yield said
                yield survey.progress()
    for said in survey.finish():
        yield said
    if survey.size is not None:
        yield Driven(survey.memory.road.flow, survey.size, survey.picture)


class _Survey:
    """One log made of several files."""

    def __init__(self, scene: Scene, policy: CountPolicy) -> None:
        self.scene, self.policy = scene, policy
        self.memory = Memory(camera=CameraId(""))
        self.begins: list[tuple[int, str]] = []  # capture time at which each file begins
        self.epoch, self.seq, self.frames, self.shift_ms = -1, 0, 0, 0
        self.last_ms: int | None = None  # of the last picture of the survey
        self.size: Size | None = None
        self.picture: bytes | None = None
        self.period_ms = 40  # between the last two pictures; 25 a second until two were seen

    def begin(self, camera: Camera) -> None:
        self.camera, self.frames = camera, 0
        self.memory = msgspec.structs.replace(self.memory, camera=camera.id)

    def take(self, picture: Picture, answer: Detections | BadPicture) -> list[Counted | HealthChange | Flow]:
        """One analysed picture."""
        bodies: list[Body] = []
        if self.frames == 0:
            self.shift_ms = 0 if self.last_ms is None else self.last_ms + self.period_ms - picture.captured_ms
            self.begins.append((picture.captured_ms + self.shift_ms, self.camera.source))
        at = picture.captured_ms + self.shift_ms
        if self.frames == 0 or picture.fresh:
            check_shape(self.scene, picture.source_size, self.camera.source)
            self.epoch, self.seq = self.epoch + 1, 0
            opened = Opened(source_size=picture.source_size, clock=Clock.FILE, fps=self.camera.fps, first_ms=at)
            bodies = [opened, self.scene]
        if self.frames and self.last_ms is not None:
            self.period_ms = max(1, min(1000, at - self.last_ms))
        self.frames, self.last_ms = self.frames + 1, at
        self.size = picture.source_size
        self.picture = picture.body.jpeg if isinstance(picture.body, Frame) else None
        said: list[Counted | HealthChange | Flow] = []
        if picture.health is not None:
            bodies.append(picture.health)
        for body in (*bodies, _body(answer, at)):
            said += self._observe(body, at, picture)
        return said

    def _observe(self, body: Body, at: int, picture: Picture) -> list[Counted | HealthChange | Flow]:
        header = Header(
            log="file",
            camera=self.camera.id,
            shard=0,
            epoch=self.epoch,
            seq=self.seq,
            captured_ms=at,
            clock=Clock.FILE,
            size=picture.size,
            source_size=picture.source_size,
        )
        self.seq += 1
        observed = observe(self.memory, Record(header, body), self.policy.scene)
        self.memory = observed.memory
        return self._told(observed.outputs)

    def finish(self) -> list[Counted | HealthChange | Flow]:
        """The end of the last file."""
        self.memory, outputs = finish(self.memory, self.policy.scene)
        return self._told(outputs)

    def _told(self, outputs: Sequence[Output]) -> list[Counted | HealthChange | Flow]:
        return [
            output if isinstance(output, HealthChange | Flow) else _counted(output, self.begins)
            for output in outputs
            if isinstance(output, Occurrence | Flow)
        ]

    def progress(self) -> Progress:
        """Where the survey stands."""
        began, file = self.begins[-1]
        return Progress(file, self.frames, ((self.last_ms or began) - began) / 1000)


async def _answered(
    pictures: AsyncGenerator[Picture, None], model: Model | None, policy: CountPolicy
) -> AsyncGenerator[tuple[list[Picture], list[Detections | BadPicture]], None]:
    """Batches of pictures with the model's answers, in order; several calls are under way at once."""
    under_way: list[tuple[list[Picture], asyncio.Task[list[Detections | BadPicture]]]] = []
    batch: list[Picture] = []
    try:
        async for picture in pictures:
            batch.append(picture)
            if len(batch) < policy.batch:
                continue
            under_way.append((batch, asyncio.create_task(_detect(model, batch))))
            batch = []
            if len(under_way) >= policy.batches:
                done, task = under_way.pop(0)
                yield done, await task
        if batch:
            under_way.append((batch, asyncio.create_task(_detect(model, batch))))
        while under_way:
            done, task = under_way.pop(0)
            yield done, await task
    finally:
        left = [task for _, task in under_way]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


async def _detect(model: Model | None, batch: Sequence[Picture]) -> list[Detections | BadPicture]:
    """One answer for each picture; what a simulated camera shows is its own answer."""
    jpegs = [picture.body.jpeg for picture in batch if isinstance(picture.body, Frame)]
    if jpegs and model is None:
        raise Fatal("pictures cannot be counted without a model: name one")
    answers = iter(await model.detect(jpegs) if jpegs and model is not None else ())
    return [p.body.detections() if isinstance(p.body, Boxes) else next(answers) for p in batch]


def _body(answer: Detections | BadPicture, at: int) -> Detections | Gap:
    if isinstance(answer, BadPicture):
        return Gap(from_ms=at, to_ms=at, reason=GapReason.LOST, frames=1)
    return answer


def check_shape(scene: Scene, size: Size, source: str) -> None:
    """Refuse a scene that was drawn on pictures of another shape than those of `source`. Raises Fatal."""
    if not scene.drawn_on.same_shape(size):
        raise Fatal(
            f"{source}: its pictures are {size} but the scene was drawn on {scene.drawn_on}, another shape:"
            " lines would lie elsewhere; draw the scene on a picture of this video and set drawn_on to its size"
        )


def _counted(event: Event, begins: Sequence[tuple[int, str]]) -> Counted:
    began, file = next((b for b in reversed(begins) if b[0] <= event.captured_ms), begins[0])
    return Counted(event=event, file=file, t_seconds=round((event.captured_ms - began) / 1000, 3))
