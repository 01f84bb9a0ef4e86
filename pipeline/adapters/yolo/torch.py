"""The backend `torch`: Ultralytics' own network, run by torch in batches of one shape.

Importing Ultralytics changes the process (thread counts, environment, warnings), so nothing here is imported before
somebody asks for this backend.
"""

import ctypes
import importlib.util
import os
import re
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.adapters.yolo.boxes import Array
from pipeline.adapters.yolo.checkpoint import check
from pipeline.adapters.yolo.folder import Traits, sha256
from pipeline.adapters.yolo.pictures import Pixels
from pipeline.errors import Fatal

QUIET = {
    "YOLO_OFFLINE": "true",  # no version check, no analytics, no download of what is missing
    "YOLO_AUTOINSTALL": "false",  # never runs pip
    "YOLO_VERBOSE": "false",
    "ULTRALYTICS_SAFE_LOAD": "true",  # weights through torch's restricted unpickler
}
"""Environment under which Ultralytics keeps to itself."""


def plain(text: str) -> str:
    """What Ultralytics says, without its colours and pictures."""
    return re.sub(r"\x1b\[[0-9;]*m|ERROR \S+ ", "", text).strip()


def is_installed() -> bool:
    """Whether the extra `torch` is there."""
    return all(importlib.util.find_spec(name) is not None for name in ("torch", "torchvision", "ultralytics"))


def require() -> None:
    """Raise Fatal, telling what to install, if the extra `torch` is not there."""
    if not is_installed():
        raise Fatal("this needs PyTorch and Ultralytics: make setup EXTRAS=dev,torch")


def has_cuda() -> bool:
    """Whether torch is installed and finds an NVIDIA device."""
    if not is_installed():
        return False
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False  # no driver: known without importing torch
    import torch  # noqa: PLC0415 - takes seconds and hundreds of MB

    return bool(torch.cuda.is_available())


def ultralytics() -> Any:
    """The library, imported so that it neither installs, phones nor unpickles freely. Raises Fatal."""
    require()
    os.environ.update(QUIET)
    import ultralytics as library  # noqa: PLC0415 - takes seconds and hundreds of MB
    from ultralytics.nn import tasks  # noqa: PLC0415

    if not hasattr(tasks, "SAFE_LOAD"):
        raise Fatal(f"Ultralytics {library.__version__} cannot load weights safely: make setup EXTRAS=dev,torch")
    tasks.SAFE_LOAD = True  # also where somebody imported it before us, without our environment
    return library


class Torch:
    """Infers batches of one shape; calls from several threads wait for each other."""

    def __init__(self, weights: Path, *, device: str, precision: str | None, threads: int, batch: int) -> None:
        check(weights)
        library = ultralytics()
        import torch  # noqa: PLC0415

        self.batch = batch
        self._what = str(weights)
        self._torch = torch
        self._lock = threading.Lock()
        with self._in_our_words():
            name = ("cuda:0" if torch.cuda.is_available() else "cpu") if device.lower() == "auto" else device.lower()
            self._device = torch.device(name)
            if self._device.type == "cpu":
                torch.set_num_threads(threads)
            elif precision == "f32":
                torch.backends.cudnn.allow_tf32 = False
                torch.backends.cuda.matmul.allow_tf32 = False
            network = library.YOLO(str(weights), task="detect").model
            self._network = network.float().fuse(verbose=False).eval().to(self._device)
        self.traits = Traits(
            name=weights.stem,
            digest=sha256(weights),
            labels={int(number): str(label) for number, label in network.names.items()},
            stride=int(network.stride.max()),
        )

    def infer(self, pictures: Sequence[Pixels]) -> list[Array]:
        """One answer for each picture; all have one shape. Raises Fatal."""
        torch = self._torch
        with self._lock, self._in_our_words(), torch.inference_mode():
            pixels = torch.from_numpy(np.stack(pictures)).to(self._device)
            pixels = pixels.permute(0, 3, 1, 2).contiguous().flip(1).float().div_(255)
            answers = self._network(pixels)
            if isinstance(answers, (list, tuple)):
                answers = answers[0]
            return list(answers.float().cpu().numpy())

    def streams(self) -> int:
        """How many calls are worth having at once: one infers, one prepares the next."""
        return 2

    def close(self) -> None:
        """Give the device's memory back."""
        with self._lock:
            self._network = None
            if self._device.type == "cuda":
                self._torch.cuda.empty_cache()

    @contextmanager
    def _in_our_words(self) -> Iterator[None]:
        try:
            yield
        except Fatal:
            raise
        except Exception as exc:
            said = plain(str(exc)).splitlines() or [type(exc).__name__]
            raise Fatal(f"torch cannot run {self._what}: {said[0]}") from exc
