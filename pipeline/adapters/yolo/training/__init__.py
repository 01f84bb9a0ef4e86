"""Training a model of one's own, from simulated pictures, by Ultralytics' trainer.

pictures.py    the data set: painted once, kept, found again
trainer.py     Ultralytics' trainer: begins, or goes on where it was stopped
scoring.py     average precision on pictures nobody was taught (pycocotools)
card.py        what a model is made of and worth, for people
network.yaml   the network, of the YOLO family
"""

import importlib.util

from pipeline.errors import Fatal

MISSING = "training needs PyTorch, Ultralytics and pycocotools: make setup EXTRAS=dev,train"


def require() -> None:
    """Raise Fatal, telling what to install, if the extra `train` is not there."""
    if any(importlib.util.find_spec(name) is None for name in ("torch", "torchvision", "ultralytics", "pycocotools")):
        raise Fatal(MISSING)
