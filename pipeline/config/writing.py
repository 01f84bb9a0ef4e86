"""Scenes and whole installations as the YAML that people write: what `load_scene` and `load` read back."""

import json
from collections.abc import Mapping
from textwrap import indent
from typing import Any

from pipeline.core.model import Line, Scene, Zone


def scene_yaml(scene: Scene) -> str:
    """The text of a file that holds this scene alone; its revision is left out, for the registry gives that."""
    text = [f"drawn_on: {scene.drawn_on}\n"]
    for title, places in (("lines", scene.lines), ("zones", scene.zones)):
        if places:
            text += [f"{title}:\n", *(f"  {place.name}: {{{', '.join(_words(place))}}}\n" for place in places)]
    if scene.anchors:
        text.append(f"anchors: {json.dumps(scene.anchors)}\n")
    if scene.movements:
        text.append("movements:\n")
        for each in scene.movements:
            legal = "" if each.legal else ", legal: false"
            text.append(
                f"  {each.name}: {{from: {json.dumps(each.origin)}, to: {json.dumps(each.destination)}{legal}}}\n"
            )
    if scene.movement_places:
        text.append(f"movement_places: {json.dumps(scene.movement_places)}\n")
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
        crowding = place.overcrowded
        rule = None if crowding is None else {"vehicles": crowding.vehicles, "for_s": crowding.for_s}
        if rule is not None and crowding is not None and crowding.until is not None:
            rule["until"] = crowding.until
        words = {"points": place.points, "classes": place.classes, "overcrowded": rule}
    else:
        words = {
            "from": place.start,
            "to": place.end,
            "to_right": place.to_right,
            "to_left": place.to_left,
            "classes": place.classes,
            "lanes": {lane.name: [lane.start, lane.end] for lane in place.lanes} or None,
        }
    # JSON is YAML, and its numbers come back to the last bit.
    return [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in words.items() if value is not None]
