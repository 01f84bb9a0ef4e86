"""Scenes and whole installations as the YAML that people write: what `load_scene` and `load` read back."""

import json
from collections.abc import Mapping
from textwrap import indent
from typing import Any

from pipeline.core.model import Calibration, Line, Scene, Zone


def scene_yaml(scene: Scene) -> str:
    """The text of a file that holds this scene alone; its revision is left out, for the registry gives that."""
    text = [f"drawn_on: {scene.drawn_on}\n"]
    for title, places in (("lines", scene.lines), ("zones", scene.zones)):
        if places:
            text += [f"{title}:\n", *(f"  {place.name}: {{{', '.join(_words(place))}}}\n" for place in places)]
    if scene.calibration is not None:
        text += ["calibration:\n", *(f"  {words}\n" for words in _yaml(_calibration(scene.calibration)))]
    if scene.speed_traps:
        text.append("speed_traps:\n")
        for trap in scene.speed_traps:
            words = {"from": trap.start, "to": trap.end, "metres": trap.metres, "sd": trap.sd_m}
            text.append(f"  {trap.name}: {{{', '.join(_yaml(words))}}}\n")
    return "".join(text)


def installation_yaml(sections: Mapping[str, Mapping[str, Any]], scenes: Mapping[str, Scene]) -> str:
    """The text of an installation file.

    Args:
        sections: `kafka`, `cameras` and so on, of what JSON can say.
        scenes: camera -> its scene.
    """
    text = []
    for title, keys in sections.items():
        if keys:
            text += [
                f"{title}:\n",
                *(f"  {key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in keys.items()),
            ]
    if scenes:
        text.append("scenes:\n")
        for camera, scene in scenes.items():
            text += [f"  {camera}:\n", indent(scene_yaml(scene), "    ")]
    return "".join(text)


def _words(place: Line | Zone) -> list[str]:
    words: dict[str, object]
    if isinstance(place, Zone):
        words = {"points": place.points, "classes": place.classes}
    else:
        words = {
            "from": place.start,
            "to": place.end,
            "to_right": place.to_right,
            "to_left": place.to_left,
            "classes": place.classes,
        }
    return _yaml(words)


def _yaml(words: Mapping[str, object]) -> list[str]:
    # JSON is YAML, and its numbers come back to the last bit.
    return [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in words.items() if value is not None]


def _calibration(kept: Calibration) -> dict[str, object]:
    words: dict[str, object] = {}
    if kept.points is not None:
        words["points"] = [{"at": p.at, "metres": p.metres} for p in kept.points]
    if (road := kept.road) is not None:
        marks = [{"at": at, "along": along} for at, along in zip(road.marks, road.along_m, strict=True)]
        focal = {} if road.focal_px is None else {"focal_px": road.focal_px}
        words["road"] = {"left": road.left, "right": road.right, "width": road.width_m, "marks": marks, **focal}
    if (pose := kept.pose) is not None:
        words["pose"] = {
            "height": pose.height_m, "tilt": pose.tilt_deg, "focal_px": pose.focal_px, "pan": pose.pan_deg,
            "roll": pose.roll_deg, "k1": pose.k1, "k2": pose.k2, "height_sd": pose.height_sd_m,
            "tilt_sd": pose.tilt_sd_deg, "roll_sd": pose.roll_sd_deg, "focal_sd": pose.focal_sd,
        }  # fmt: skip
    return words | {"picture_sd_px": kept.picture_sd_px, "ground_sd": kept.ground_sd_m, "valid": kept.valid}
