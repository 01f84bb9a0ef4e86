"""Ultralytics weights become an OpenVINO folder, by Ultralytics' own exporter.

The exporter runs in a child process: it changes the process it runs in, takes hundreds of MB, and prints as it
likes. The child sees a copy of the weights in a folder of its own, which becomes the result in one rename, so that
an interrupted export leaves nothing that looks like a model.
"""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import openvino as ov

from pipeline.adapters.yolo.checkpoint import check
from pipeline.adapters.yolo.folder import CARD, Card, Traits, read, read_card, sha256, write_card
from pipeline.adapters.yolo.torch import QUIET, plain, require
from pipeline.errors import Fatal

PRECISIONS = ("fp32", "fp16")

_CHILD = Path(__file__).with_name("export_child.py")
_LONGEST_S = 1800
"""An export takes seconds; the largest models on a slow machine some minutes."""


def export(weights: Path, out: Path, *, precision: str = "fp32") -> Path:
    """Make the OpenVINO folder `out` from Ultralytics weights; it takes pictures of any shape.

    An older export at `out` is replaced; anything else that lies there is left alone.

    Args:
        weights: a `.pt` file of a detection model.
        out: the folder to make.
        precision: of the stored numbers. `fp16` is half the size; it is computed with as the device likes.

    Returns:
        `out`.

    Raises:
        Fatal: the extra `torch` is missing, the weights are none, or the export failed.
    """
    if precision not in PRECISIONS:
        raise Fatal(f"a model is exported in one of {', '.join(PRECISIONS)}, not {precision!r}")
    check(weights)
    require()
    if out.exists() and not (out / CARD).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise Fatal(f"{out} exists and is no export of ours: name another folder")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
            made = _export_in(Path(scratch), weights, precision)
            _put(made, out, aside=Path(scratch) / "replaced")
    except OSError as exc:
        raise Fatal(f"cannot write {exc.filename or out}: {exc.strerror or exc}") from exc
    return out


def _export_in(scratch: Path, weights: Path, precision: str) -> Path:
    shutil.copyfile(weights, scratch / weights.name)
    digest = sha256(scratch / weights.name)
    _run_child(scratch / weights.name, scratch)
    made = scratch / f"{weights.stem}_openvino_model"
    found = read(made)
    if precision == "fp16":
        _halve(found.network)
    _forget_place(made / "metadata.yaml")
    write_card(
        made,
        Card(
            model=Traits(
                name=weights.stem,
                digest=digest,
                labels=found.traits.labels,
                stride=found.traits.stride,
                longest=found.traits.longest,
            ),
            weights=weights.name,
            weights_bytes=weights.stat().st_size,
            precision=precision,
            files={file.name: sha256(file) for file in sorted(made.iterdir())},
            made_with={name: importlib.metadata.version(name) for name in ("torch", "openvino")}
            | {"ultralytics": _ultralytics_version()},
        ),
    )
    return made


def _run_child(weights: Path, scratch: Path) -> None:
    environment = os.environ | QUIET | {"YOLO_CONFIG_DIR": str(scratch / "settings")}
    try:
        # -P: our own folder holds a torch.py and an openvino.py, which must not stand in for the libraries
        done = subprocess.run(  # noqa: S603 - our own file
            [sys.executable, "-P", str(_CHILD), str(weights)],
            cwd=scratch,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_LONGEST_S,
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        raise Fatal(f"the export of {weights.name} took longer than {_LONGEST_S} s and was stopped") from exc
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"it ended with code {done.returncode} and said nothing"]
        raise Fatal(f"Ultralytics cannot export {weights.name}: {plain(said[-1].replace(f'{scratch}{os.sep}', ''))}")


def _halve(network: Path) -> None:
    """Store a network's numbers as 16-bit ones."""
    half = network.with_name(f"half-{network.name}")
    ov.save_model(ov.Core().read_model(network), half, compress_to_fp16=True)
    half.replace(network)
    half.with_suffix(".bin").replace(network.with_suffix(".bin"))


def _forget_place(metadata: Path) -> None:
    """Where on somebody's machine the training data lay is nobody else's business."""
    lines = metadata.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = (re.sub(r" trained on \S.*$", "", line) if line.startswith("description:") else line for line in lines)
    metadata.write_text("".join(kept), encoding="utf-8")


def _put(made: Path, out: Path, *, aside: Path) -> None:
    """Move the finished folder into place."""
    if out.exists():
        out.rename(aside)  # goes with the scratch folder
    try:
        made.rename(out)
    except OSError:
        # Somebody else exported to the same place meanwhile: theirs is as good, if it is of the same weights.
        if (out / CARD).is_file() and read_card(out).model == read_card(made).model:
            return
        raise


def _ultralytics_version() -> str:
    for name in ("ultralytics-opencv-headless", "ultralytics"):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "unknown"
