"""Ultralytics' trainer, held to what gantry asks of it: one machine, its own checkpoints, no network, no noise.

It begins from nothing (network.yaml), or goes on with the epoch after the last one that was kept.
"""

import logging
import os
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
import yaml

from pipeline.adapters.yolo.torch import ultralytics
from pipeline.adapters.yolo.training import require
from pipeline.errors import Fatal
from pipeline.simulate.lessons import CLASSES, PICTURE

LONGEST = PICTURE[0]
"""Longer side of the network's input, px."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How a network is trained."""

    epochs: int = 4
    batch: int = 12
    rate: float = 0.002  # of learning, at its highest; it falls as a cosine
    least_rate: float = 0.03  # share of it at the end
    decay: float = 0.0005
    seed: int = 0
    device: str = "cpu"


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """How far training is."""

    epoch: int  # from 1
    epochs: int
    done: int  # batches of this epoch
    batches: int
    loss: float | None


def train(
    folder: Path, settings: Settings, *, threads: int, progress: Callable[[Step], None], begin: Path | None = None
) -> Path:
    """Train the network on folder/pictures, or go on where it was stopped.

    Args:
        folder: holds `pictures`; checkpoints are kept in its `run`.
        settings: the recipe.
        threads: of the processor.
        progress: called after every batch.
        begin: weights of this network to begin with; None: nothing was learned yet.

    Returns:
        The finished weights, without what only the trainer needs.

    Raises:
        Fatal: the extra is missing, or Ultralytics cannot train.
    """
    require()
    weights = folder / "weights.pt"
    if weights.exists():
        return weights
    ultralytics()  # imports it as it must be, before anything else does
    import torch  # noqa: PLC0415 - takes seconds and hundreds of MB
    from ultralytics.utils import LOGGER  # noqa: PLC0415
    from ultralytics.utils.torch_utils import strip_optimizer  # noqa: PLC0415

    torch.set_num_threads(threads)
    last = folder / "run" / "weights" / "last.pt"
    overrides = _overrides(folder, settings, begin)
    if last.exists():
        overrides |= {"resume": str(last), "model": str(last)}
    level = LOGGER.level
    LOGGER.setLevel(logging.ERROR)
    try:
        with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
            trainer = _trainer(overrides, progress)
            torch.set_num_threads(threads)
            trainer.train()
            strip_optimizer(str(last), str(folder / "weights.part"))
    except (RuntimeError, ValueError, TypeError, FileNotFoundError) as exc:
        raise Fatal(f"Ultralytics cannot train in {folder}: {exc}") from exc
    finally:
        LOGGER.setLevel(level)
    (folder / "weights.part").replace(weights)
    return weights


def _overrides(folder: Path, settings: Settings, begin: Path | None) -> dict[str, Any]:
    data, network = folder / "data.yaml", folder / "gantry-s.yaml"
    pictures = str((folder / "pictures").resolve())
    data.write_text(
        yaml.safe_dump({"path": pictures, "train": "images", "val": "images", "names": dict(enumerate(CLASSES))})
    )
    network.write_text(resources.files(__package__ or "").joinpath("network.yaml").read_text())
    return {
        "task": "detect", "mode": "train", "model": str(network), "data": str(data), "project": str(folder.resolve()),
        "name": "run", "exist_ok": True, "epochs": settings.epochs, "batch": settings.batch, "nbs": settings.batch,
        "imgsz": LONGEST, "rect": True, "device": settings.device, "workers": 0, "cache": "ram", "pretrained": str(begin) if begin is not None else False,
        "optimizer": "AdamW", "lr0": settings.rate, "lrf": settings.least_rate, "cos_lr": True,
        "weight_decay": settings.decay, "warmup_epochs": 0.3, "seed": settings.seed, "deterministic": False,
        "amp": False, "plots": False, "val": False, "save": True, "verbose": False, "mosaic": 0.0, "close_mosaic": 0,
        "translate": 0.08, "scale": 0.25, "fliplr": 0.5, "hsv_h": 0.03, "hsv_s": 0.5, "hsv_v": 0.35, "erasing": 0.0,
        "auto_augment": None, "patience": 0,
    }  # fmt: skip


def _trainer(overrides: dict[str, Any], progress: Callable[[Step], None]) -> Any:
    import torch  # noqa: PLC0415
    from ultralytics.models.yolo.detect import DetectionTrainer  # noqa: PLC0415

    class Trainer(DetectionTrainer):  # type: ignore[misc]
        """Pictures with channels last, which processors convolve several times as fast; no validation."""

        def preprocess_batch(self, batch: Any) -> Any:
            batch = super().preprocess_batch(batch)
            batch["img"] = batch["img"].contiguous(memory_format=torch.channels_last)
            return batch

        def save_model(self) -> None:
            """Whole or not at all: whoever is killed while a checkpoint is written goes on with the one before."""
            whole = Path(getattr(self, "last"))  # noqa: B009 - the untyped base class sets it
            self.last = whole.with_suffix(".part")
            try:
                super().save_model()
                self.last.replace(whole)
            finally:
                self.last = whole

        def validate(self) -> tuple[dict[str, float], float]:
            """None: what a network is worth is measured on other pictures, see scoring."""
            return {}, -float(self.loss.detach())

        def final_eval(self) -> None:
            """None."""

    trainer = Trainer(overrides=overrides)

    def began(of: Any) -> None:
        of.model.to(memory_format=torch.channels_last)
        of.batches_done = 0

    def stepped(of: Any) -> None:
        of.batches_done = of.batches_done % len(of.train_loader) + 1
        progress(
            Step(
                epoch=of.epoch + 1,
                epochs=of.epochs,
                done=of.batches_done,
                batches=len(of.train_loader),
                loss=float(of.loss.detach()),
            )
        )

    trainer.add_callback("on_train_start", began)
    trainer.add_callback("on_train_batch_end", stepped)
    return trainer
