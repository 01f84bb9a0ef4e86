"""A model that sees what is written in the picture: JSON of Detections instead of a JPEG."""

import asyncio

import msgspec

from pipeline.core.model import Detections
from pipeline.ports import BadPicture


class Model:
    """`ports.Model`. `gate` holds answers back while it is cleared; `breaks` is raised instead of an answer."""

    name = "fake@000000000000"
    labels = frozenset({"person", "bicycle", "car", "motorcycle", "bus", "truck"})

    def __init__(self):
        self.gate = asyncio.Event()
        self.gate.set()
        self.breaks = None
        self.calls = []

    async def detect(self, jpegs):
        self.calls.append(len(jpegs))
        await self.gate.wait()
        await asyncio.sleep(0)
        if self.breaks is not None:
            raise self.breaks
        return [self._one(jpeg) for jpeg in jpegs]

    def _one(self, jpeg):
        try:
            return msgspec.json.decode(jpeg, type=Detections)
        except msgspec.MsgspecError:
            return BadPicture("it is no picture")

    def close(self):
        pass
