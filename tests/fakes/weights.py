"""A small real YOLO network without any training: exact in its way, made anew in seconds, no download."""

from pathlib import Path

import numpy as np
import simplejpeg

LABELS = ("person", "bicycle", "car", "motorcycle", "airplane", "bus", "truck")


def tiny_weights(path: Path, *, labels=LABELS, network="yolov8n.yaml") -> Path:
    """Save a YOLOv8n of random numbers, with normalised layers and a head that is sure of something now and then."""
    from pipeline.adapters.yolo.torch import ultralytics  # noqa: PLC0415 - only with the extra torch

    library = ultralytics()
    import torch  # noqa: PLC0415
    from ultralytics.nn import tasks  # noqa: PLC0415

    torch.manual_seed(7)
    made = library.YOLO(network, verbose=False)
    kind = type(made.model)
    assert issubclass(kind, tasks.BaseModel)
    made.model = kind(network, nc=len(labels), verbose=False)
    made.model.names = dict(enumerate(labels))
    made.model.args = {}
    for layer in made.model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None  # the mean of what it sees: one pass normalises an untrained network
    with torch.no_grad():
        made.model.train()(
            torch.from_numpy(np.stack([_texture(n, 320, 320) for n in range(4)])).permute(0, 3, 1, 2) / 255
        )
        for branch in getattr(made.model.model[-1], "cv3", []):
            branch[-1].weight.mul_(2.5)
            branch[-1].bias.fill_(-6.0)
    made.model.eval()
    made.save(path)
    return path


def picture(seed: int, width: int = 640, height: int = 352) -> bytes:
    """A JPEG of coloured clouds; another one for each seed."""
    return simplejpeg.encode_jpeg(_texture(seed, width, height), quality=90, colorspace="BGR")


def _texture(seed: int, width: int, height: int) -> np.ndarray:
    import cv2  # noqa: PLC0415

    rough = np.random.default_rng(seed).integers(0, 256, (max(height // 16, 1), max(width // 16, 1), 3), dtype=np.uint8)
    return cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC)
