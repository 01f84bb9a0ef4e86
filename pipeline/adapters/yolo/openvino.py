"""The backend `openvino`: one network, compiled once for every input shape it meets.

One picture is one request, and as many requests run at once as OpenVINO keeps streams: on two cores that was as
fast as batches, with a fraction of their latency. Requests are plain synchronous ones in our own threads, because
OpenVINO's AsyncInferQueue has been seen to hang on Intel and AMD processors (ultralytics/ultralytics#25923).
"""

import functools
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import openvino as ov
from openvino import preprocess

from pipeline.adapters.yolo.boxes import Array
from pipeline.adapters.yolo.folder import Folder
from pipeline.adapters.yolo.pictures import Pixels
from pipeline.errors import Fatal

_MOST_BUCKETS = 8
"""Compiled shapes kept, the lately used ones; each takes tens of MB. A city's cameras have a few aspect ratios."""


@functools.cache
def core() -> ov.Core:
    """OpenVINO's one core of this process, never given back.

    Its CPU plugin gives the thread that loads it a signal stack and frees that stack with itself, in whichever
    thread drops the last reference. The first signal after that ends the process by SIGSEGV (seen with 2026.4).
    """
    return ov.Core()


class OpenVino:
    """Infers pictures of any bucket; may be called from several threads at once."""

    batch = 1

    def __init__(self, folder: Folder, *, device: str, precision: str | None, threads: int) -> None:
        self._what = str(folder.path)
        self._device = "CPU" if device.lower() == "auto" else device.upper()
        # Not pinned: several detectors, or several buckets of one, would be pinned to the same cores.
        self._config: dict[str, Any] = {"PERFORMANCE_HINT": "THROUGHPUT"}
        if self._device == "CPU":
            self._config["ENABLE_CPU_PINNING"] = False
            self._config["INFERENCE_NUM_THREADS"] = threads
        if precision is not None:
            self._config["INFERENCE_PRECISION_HINT"] = precision
        with self._in_our_words():
            self._core = core()
            if self._device.split(".")[0] not in {*(d.split(".")[0] for d in self._core.available_devices), "AUTO"}:
                found = ", ".join(self._core.available_devices)
                raise Fatal(f"OpenVINO finds no device {device!r} on this machine; it has {found}")
            self._network = self._core.read_model(folder.network)
            shape = self._network.input().partial_shape
        if not (shape[2].is_dynamic and shape[3].is_dynamic):
            raise Fatal(
                f"{self._what} takes pictures of one shape only ({shape}); export it for all shapes with "
                f"`gantry models export WEIGHTS.pt`"
            )
        self._lock = threading.Lock()
        self._buckets: OrderedDict[tuple[int, int], _Bucket] = OrderedDict()

    def infer(self, pictures: Sequence[Pixels]) -> list[Array]:
        """One answer for each picture. Raises Fatal."""
        return [self._infer(picture) for picture in pictures]

    def streams(self) -> int:
        """How many requests are worth having at once."""
        with self._lock:
            known = [bucket.streams for bucket in self._buckets.values() if bucket.streams is not None]
        return max(known, default=1)

    def close(self) -> None:
        """Free what was compiled."""
        with self._lock:
            self._buckets.clear()

    def _infer(self, picture: Pixels) -> Array:
        height, width = picture.shape[:2]
        bucket = self._bucket((height, width))
        with self._in_our_words():
            request = bucket.take()
            results = request.infer(picture[np.newaxis], share_inputs=True, share_outputs=True)
            answer: Array = np.array(results[0][0], dtype=np.float32)  # a copy: the request's memory is used again
            bucket.give(request)
        return answer

    def _bucket(self, shape: tuple[int, int]) -> "_Bucket":
        with self._lock:
            bucket = self._buckets.setdefault(shape, _Bucket())
            self._buckets.move_to_end(shape)
            while len(self._buckets) > _MOST_BUCKETS:
                self._buckets.popitem(last=False)
        with bucket.lock, self._in_our_words():
            if bucket.compiled is None:
                bucket.compiled = self._core.compile_model(self._for_pixels(shape), self._device, self._config)
                bucket.streams = int(bucket.compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        return bucket

    def _for_pixels(self, shape: tuple[int, int]) -> Any:
        """The network for one shape, taking bytes as they are decoded: uint8, blue-green-red, channels last."""
        network = self._network.clone()
        network.reshape([1, 3, *shape])
        steps = preprocess.PrePostProcessor(network)
        pixels = steps.input()
        pixels.tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
        pixels.tensor().set_color_format(preprocess.ColorFormat.BGR)
        pixels.preprocess().convert_element_type(ov.Type.f32).convert_color(preprocess.ColorFormat.RGB).scale(255.0)
        pixels.model().set_layout(ov.Layout("NCHW"))
        return steps.build()

    @contextmanager
    def _in_our_words(self) -> Iterator[None]:
        try:
            yield
        except (RuntimeError, TypeError, ValueError, IndexError) as exc:  # OpenVINO has no errors of its own
            said = str(exc).strip().splitlines() or [type(exc).__name__]  # from the outermost place to the reason
            raise Fatal(f"OpenVINO cannot run {self._what} on {self._device}: {said[-1].strip()}") from exc


class _Bucket:
    """One compiled shape and the requests that are free."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.compiled: Any = None
        self.streams: int | None = None
        self._free: list[Any] = []

    def take(self) -> Any:
        try:
            return self._free.pop()
        except IndexError:
            return self.compiled.create_infer_request()

    def give(self, request: Any) -> None:
        self._free.append(request)
