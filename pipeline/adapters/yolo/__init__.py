"""Sees road users in pictures with a YOLO model; implements `ports.Model`.

pictures.py      JPEG -> pixels -> the model's input (letterbox)
boxes.py         the model's answer -> boxes in shares of the picture
openvino.py      backend `openvino`: an exported folder, the default
torch.py         backend `torch`: Ultralytics weights
folder.py        what an exported folder holds and where models live
checkpoint.py    is a file weights? without executing it
export.py        weights -> folder
download.py      a name or URL -> weights
unobserved.py    OpenVINO tells nobody that it is used
"""

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec
import numpy as np

from pipeline.adapters.yolo import folder, unobserved  # noqa: F401 - before anything that imports OpenVINO
from pipeline.adapters.yolo.boxes import Array, Head
from pipeline.adapters.yolo.checkpoint import check
from pipeline.adapters.yolo.export import export
from pipeline.adapters.yolo.folder import Traits, models_folder, sha256
from pipeline.adapters.yolo.openvino import OpenVino
from pipeline.adapters.yolo.pictures import Letterbox, Pixels, decode
from pipeline.adapters.yolo.torch import Torch, has_cuda, is_installed
from pipeline.core.model import Detections, Size
from pipeline.errors import Fatal
from pipeline.ports import BadPicture

__all__ = ["ROAD_USERS", "Yolo", "export", "load_model"]

ROAD_USERS = ("person", "bicycle", "car", "motorcycle", "bus", "truck")
"""The classes kept by default, by their COCO names."""

_USUAL = Size(640, 360)
"""The picture a model is warmed up with: most cameras are 16:9."""

_Given = TypeVar("_Given")
_Answer = TypeVar("_Answer")

_log = logging.getLogger("gantry.models")


class Backend(Protocol):
    """Runs a network."""

    batch: int
    """Pictures of one shape it takes at once."""

    def infer(self, pictures: Sequence[Pixels]) -> list[Array]:
        """The network's answer to each picture; all have one shape. Called from threads. Raises Fatal."""
        ...

    def streams(self) -> int:
        """How many calls are worth having at once."""
        ...

    def close(self) -> None:
        """Free the device."""
        ...


def load_model(
    path: Path,
    *,
    backend: str = "auto",
    device: str = "auto",
    score: float = 0.1,
    iou: float = 0.7,
    precision: str | None = None,
    threads: int | None = None,
    max_batch: int = 8,
    classes: Sequence[str] | None = None,
) -> "Yolo":
    """Load a model and see one picture with it, so that what is broken shows now.

    Args:
        path: an OpenVINO folder, Ultralytics weights (`.pt`), or the name of a model in the models folder.
            Weights are exported into the models folder when `openvino` is to run them; once, then found there.
        backend: `openvino`, `torch`, or `auto`: openvino, but torch for weights where there is an NVIDIA device.
        device: `auto` or as the backend calls it: CPU, GPU, AUTO; cpu, cuda:0.
        score: boxes less sure than this are dropped. Low on purpose: the tracker makes use of unsure boxes.
        iou: of two boxes of a class that overlap more, the surer one is kept.
        precision: `f32` computes in 32 bits on every device; None: as the device is fastest.
        threads: of the CPU; None: one for each core we may use.
        max_batch: pictures inferred at once by torch. OpenVINO takes one picture a request (see openvino.py).
        classes: names of the classes to keep; None: the road users the model knows.

    Raises:
        Fatal: no such model, damaged, of another task, knows none of the classes, or the device fails.
    """
    if backend not in {"auto", "openvino", "torch"}:
        raise Fatal(f"a model is run by openvino or torch (or auto), not by {backend!r}")
    if precision not in {None, "f32"}:
        raise Fatal(f"precision is f32 or none at all, not {precision!r}")
    path = folder.locate(path)
    if path.is_dir() and backend == "torch":
        raise Fatal(f"{path} is an OpenVINO folder; torch runs Ultralytics weights (.pt)")
    cores = threads or _cores()
    runs: Backend
    if path.is_dir() or backend == "openvino" or (backend == "auto" and not _wants_torch(device)):
        found = folder.read(path if path.is_dir() else _exported(path))
        traits = found.traits
        head = _head(traits, score=score, iou=iou, classes=classes)
        runs = OpenVino(found, device=device, precision=precision, threads=cores)
    else:
        runs = torch = Torch(path, device=device, precision=precision, threads=cores, batch=max_batch)
        traits = torch.traits
        head = _head(traits, score=score, iou=iou, classes=classes)
    return Yolo(runs, traits, head)


class Yolo:
    """A loaded model: `ports.Model`."""

    def __init__(self, backend: Backend, traits: Traits, head: Head) -> None:
        self._backend = backend
        self._traits = traits
        self._head = head
        usual = self._letterbox(_USUAL)
        (answer,) = backend.infer([np.zeros((*usual.shape, 3), dtype=np.uint8)])
        if not head.knows(answer.shape):
            raise Fatal(
                f"{traits.identity} answers in the shape {answer.shape}, which is not that of a YOLO detection model "
                f"with {len(traits.labels)} classes"
            )
        # One thread more than streams: it decodes the next picture while all streams infer.
        self._threads = ThreadPoolExecutor(backend.streams() + 1, thread_name_prefix="detect")

    @property
    def name(self) -> str:
        """Name and digest of the weights: `yolov8n@f59b3d833e2f`."""
        return self._traits.identity

    @property
    def labels(self) -> frozenset[str]:
        """The classes that it tells."""
        return frozenset(self._traits.labels[number] for number in self._head.wanted)

    async def detect(self, jpegs: Sequence[bytes]) -> list[Detections | BadPicture]:
        """One answer for each picture, in their order; see `ports.Model.detect`.

        Runs in threads; calls may overlap, and each is answered in its own order.
        """
        prepared = await asyncio.gather(*(self._in_thread(self._prepare, jpeg) for jpeg in jpegs))
        inputs = {place: each for place, each in enumerate(prepared) if isinstance(each, _Input)}
        batches = _batches(inputs, self._backend.batch)
        seen = await asyncio.gather(*(self._in_thread(self._see, [inputs[i] for i in places]) for places in batches))
        found = {
            place: each
            for places, batch in zip(batches, seen, strict=True)
            for place, each in zip(places, batch, strict=True)
        }
        return [each if isinstance(each, BadPicture) else found[place] for place, each in enumerate(prepared)]

    def close(self) -> None:
        """Free the device; pictures that still wait are dropped, their calls end cancelled."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._backend.close()

    async def _in_thread(self, work: Callable[[_Given], _Answer], given: _Given) -> _Answer:
        try:
            doing = self._threads.submit(work, given)
        except RuntimeError as exc:
            raise Fatal(f"{self.name} is closed") from exc
        return await asyncio.wrap_future(doing)

    def _prepare(self, jpeg: bytes) -> "_Input | BadPicture":
        pixels = decode(jpeg)
        if isinstance(pixels, BadPicture):
            return pixels
        letterbox = self._letterbox(Size(pixels.shape[1], pixels.shape[0]))
        return _Input(letterbox, letterbox.fit(pixels))

    def _see(self, inputs: "list[_Input]") -> list[Detections]:
        answers = self._backend.infer([each.pixels for each in inputs])
        return [self._head.read(answer, each.letterbox) for answer, each in zip(answers, inputs, strict=True)]

    def _letterbox(self, picture: Size) -> Letterbox:
        return Letterbox.of(picture, longest=self._traits.longest, stride=self._traits.stride)


class _Input(msgspec.Struct, frozen=True):
    letterbox: Letterbox
    pixels: Pixels


def _batches(inputs: dict[int, _Input], most: int) -> list[list[int]]:
    """Places of pictures that go together: of one shape, at most `most`."""
    buckets: dict[tuple[int, int], list[int]] = {}
    for place, each in inputs.items():
        buckets.setdefault(each.letterbox.shape, []).append(place)
    return [places[i : i + most] for places in buckets.values() for i in range(0, len(places), most)]


def _head(traits: Traits, *, score: float, iou: float, classes: Sequence[str] | None) -> Head:
    known = set(traits.labels.values())
    if classes is None and not known & set(ROAD_USERS):
        raise Fatal(
            f"{traits.identity} knows no road users ({', '.join(ROAD_USERS)}); it knows {_some(sorted(known))}: "
            f"use another model, or name the classes to keep"
        )
    if classes is not None and (unknown := sorted(set(classes) - known)):
        raise Fatal(f"{traits.identity} does not know {', '.join(unknown)}; it knows {_some(sorted(known))}")
    kept = set(ROAD_USERS if classes is None else classes)
    return Head(
        labels=traits.labels,
        wanted=frozenset(number for number, label in traits.labels.items() if label in kept),
        score=score,
        iou=iou,
        model=traits.identity,
    )


def _some(names: list[str], most: int = 100) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _exported(weights: Path) -> Path:
    """The folder made from these weights: one that is in the models folder, or a new one."""
    check(weights)
    digest = sha256(weights)
    if (found := folder.made_from(digest)) is not None:
        return found
    if not is_installed():
        raise Fatal(
            f"OpenVINO needs a folder made from {weights}, and that takes PyTorch and Ultralytics: "
            f"make setup EXTRAS=dev,torch, or run `gantry models export {weights}` elsewhere and copy the folder"
        )
    out = models_folder() / f"{weights.stem}-{digest[:12]}"
    _log.info("exporting %s for OpenVINO, once, into %s", weights, out)
    return export(weights, out)


def _wants_torch(device: str) -> bool:
    return device.lower().startswith("cuda") or (device.lower() == "auto" and has_cuda())


def _cores() -> int:
    """CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
