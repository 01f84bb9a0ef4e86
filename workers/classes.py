"""A scene asks for classes; the model must know them, or a count of theirs would be an honest-looking zero."""

from collections.abc import Collection, Mapping
from pathlib import Path

from pipeline.adapters.yolo import folder
from pipeline.config import Installation
from pipeline.core.model import CameraId, Scene
from pipeline.errors import Fatal


def check_classes(scenes: Mapping[CameraId, Scene] | Mapping[str, Scene], known: Collection[str], model: str) -> None:
    """Refuse scenes that ask for what the model does not know.

    Args:
        scenes: by a name for messages; "" for the only one.
        known: the classes the model tells.
        model: its name.

    Raises:
        Fatal: every line and zone that asks for an unknown class, and what the model knows.
    """
    wrong = []
    for name, scene in scenes.items():
        asked = {place.name: place.classes for place in scene.lines} | {
            place.name: place.classes for place in scene.zones
        }
        asked["anchors"] = list(scene.anchors)
        for place, classes in asked.items():
            if missing := sorted(set(classes or ()) - set(known)):
                wrong.append(f"{f'{name}: ' if name else ''}{place} asks for {', '.join(missing)}")
    if wrong:
        raise Fatal(
            f"the model {model} does not know what is to be counted: {'; '.join(wrong)}; it knows"
            f" {', '.join(sorted(known))}: take these classes out of the scene, or another model"
        )


def check_model(installation: Installation) -> None:
    """Refuse an installation whose model is not there, or does not know what its scenes ask for. Raises Fatal."""
    model = installation.settings.detect.model
    if (known := known_to(model)) is not None:
        check_classes(installation.scenes, known, Path(model).name)


def known_to(model: str) -> Collection[str] | None:
    """The classes of an exported model; None: it is weights, which only say so when they are loaded. Raises Fatal."""
    path = folder.locate(Path(model))
    return set(folder.read(path).traits.labels.values()) if path.is_dir() else None
