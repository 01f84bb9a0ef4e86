"""The folder that holds an exported model, and what it says about itself (`gantry.json`).

yolov8n/
  gantry.json      ours: name, digest of the weights it was made from, classes, digests of the files below
  metadata.yaml    Ultralytics' own; read only where gantry.json is missing
  yolov8n.xml      OpenVINO's network
  yolov8n.bin      its weights
"""

import hashlib
import os
from pathlib import Path
from typing import Any

import msgspec
import yaml

from pipeline.errors import Fatal

CARD = "gantry.json"

SHIPPED = Path(__file__).with_name("shipped")
"""Models that come with gantry, a folder each."""

_MEND = "make it anew with `gantry models export WEIGHTS.pt`"


class Traits(msgspec.Struct, frozen=True, kw_only=True):
    """What one must know of a model to use it, whatever runs it."""

    name: str
    digest: str  # SHA-256 of the weights, hexadecimal
    labels: dict[int, str]
    stride: int = 32
    longest: int = 640  # longer side of its input, px

    @property
    def identity(self) -> str:
        """Name and digest, for the record: `yolov8n@f59b3d833e2f`."""
        return f"{self.name}@{self.digest[:12]}"


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """`gantry.json`."""

    model: Traits
    weights: str  # file name of the weights it was made from
    weights_bytes: int
    precision: str  # of the stored numbers: fp32 or fp16
    files: dict[str, str]  # name to SHA-256
    made_with: dict[str, str]  # library to version


class Folder(msgspec.Struct, frozen=True, kw_only=True):
    """An exported model on disk, checked."""

    path: Path
    network: Path  # the .xml
    traits: Traits
    card: Card | None  # None: Ultralytics made it, not we


def sha256(path: Path) -> str:
    """Digest of a file, hexadecimal. Raises Fatal if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as exc:
        raise Fatal(f"cannot read {path}: {exc.strerror or exc}") from exc


def models_folder() -> Path:
    """Where models live unless told otherwise: GANTRY_MODELS, else the user's cache."""
    named = os.environ.get("GANTRY_MODELS")
    if named:
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gantry" / "models"


def locate(path: Path) -> Path:
    """The path itself if it is there, else the model of that name: in the models folder, or one that comes with gantry.

    Raises:
        Fatal: there is none.
    """
    if path.exists():
        return path
    for home in (models_folder(), SHIPPED):
        if path.parent == Path() and path.name and (home / path).exists():
            return home / path
    raise Fatal(
        f"there is no model at {path}: give a folder made by `gantry models export`, Ultralytics weights (.pt), "
        f"or a name from `gantry models list` (`gantry models get yolov8n` fetches one for real footage)"
    )


def made_from(digest: str) -> Path | None:
    """The folder in the models folder that was exported, in fp32, from the weights of this digest."""
    for found in sorted(models_folder().glob(f"*/{CARD}")):
        try:
            card = read_card(found.parent)
        except Fatal:
            continue  # somebody's damaged folder is not in our way
        if card.model.digest == digest and card.precision == "fp32":
            return found.parent
    return None


def read(path: Path) -> Folder:
    """Check an OpenVINO folder and tell what it holds.

    Raises:
        Fatal: files are missing, damaged or changed, or it is no detection model.
    """
    networks = sorted(path.glob("*.xml"))
    if len(networks) != 1:
        raise Fatal(f"{path} is no OpenVINO model folder: it holds {len(networks)} .xml files instead of 1; {_MEND}")
    network = networks[0]
    if not network.with_suffix(".bin").is_file():
        raise Fatal(f"{path} lacks {network.with_suffix('.bin').name}; {_MEND}")
    if (path / CARD).is_file():
        card = read_card(path)
        _check_files(path, card)
        return Folder(path=path, network=network, traits=card.model, card=card)
    if (path / "metadata.yaml").is_file():
        return Folder(path=path, network=network, traits=_traits_of_ultralytics(path, network), card=None)
    raise Fatal(f"{path} has neither {CARD} nor metadata.yaml, so nobody knows its classes; {_MEND}")


def read_card(path: Path) -> Card:
    """The `gantry.json` of a folder. Raises Fatal."""
    try:
        return msgspec.json.decode((path / CARD).read_bytes(), type=Card)
    except (OSError, msgspec.MsgspecError) as exc:
        raise Fatal(f"cannot read {path / CARD}: {exc}; {_MEND}") from exc


def write_card(path: Path, card: Card) -> None:
    """Put `gantry.json` into a folder."""
    (path / CARD).write_bytes(msgspec.json.format(msgspec.json.encode(card), indent=2) + b"\n")


def _check_files(path: Path, card: Card) -> None:
    for name, digest in card.files.items():
        if not (path / name).is_file():
            raise Fatal(f"{path} lacks {name}; {_MEND}")
        if sha256(path / name) != digest:
            raise Fatal(f"{path / name} is not the file that was exported (its digest differs); {_MEND}")


def _traits_of_ultralytics(path: Path, network: Path) -> Traits:
    try:
        said: Any = yaml.safe_load((path / "metadata.yaml").read_text(encoding="utf-8"))
        if said["task"] != "detect":
            raise Fatal(f"{path} holds a model for the task {said['task']!r}; gantry needs one that detects")
        return Traits(
            name=network.stem,
            digest=sha256(network.with_suffix(".bin")),
            labels={int(number): str(label) for number, label in said["names"].items()},
            stride=int(said["stride"]),
            longest=max(int(side) for side in said["imgsz"]),
        )
    except (OSError, UnicodeError, yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as exc:
        raise Fatal(f"cannot make sense of {path / 'metadata.yaml'} ({type(exc).__name__}: {exc}); {_MEND}") from exc
