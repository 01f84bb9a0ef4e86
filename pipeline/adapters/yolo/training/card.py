"""A model's card: what it is made of and what it is worth, for machines (card.json) and for people (card.md)."""

from pathlib import Path
from typing import Any

import msgspec

from pipeline.simulate.lessons import CLASSES, EXAMINE, LEAST_PX, LEAST_VISIBLE, PICTURE, TEACH
from pipeline.simulate.scenarios import SCENARIOS

JSON, TEXT = "card.json", "card.md"


class Worth(msgspec.Struct, frozen=True, kw_only=True):
    """Average precision at an overlap of 0.5 in one look."""

    look: str
    pictures: int
    map50: float | None
    by_class: dict[str, float | None]
    wanted: dict[str, int]


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """`card.json`."""

    recipe: dict[str, Any]
    worth: list[Worth]
    made_with: dict[str, str]


def write(model: Path, *, recipe: dict[str, Any], worth: list[Worth], made_with: dict[str, str]) -> None:
    """Put both cards into a model's folder."""
    told = Told(recipe=recipe, worth=worth, made_with=made_with)
    (model / JSON).write_bytes(msgspec.json.format(msgspec.json.encode(told), indent=2) + b"\n")
    (model / TEXT).write_text(text(told))


def read(model: Path) -> Told:
    """The card of a model's folder."""
    return msgspec.json.decode((model / JSON).read_bytes(), type=Told)


def text(told: Told) -> str:
    """The card for people."""
    recipe, settings = told.recipe, told.recipe["settings"]
    rows = [
        f"| {w.look} | {w.pictures} | {_figure(w.map50)} | "
        + " | ".join(_figure(w.by_class[label]) for label in CLASSES)
        + " |"
        for w in told.worth
    ]
    versions = ", ".join(f"{name} {number}" for name, number in told.made_with.items())
    return f"""# {recipe["name"]}

A small network of the YOLO family (`network.yaml`), trained from nothing on simulated scenes only: no foreign weights and
no footage are in it. Classes: {", ".join(CLASSES)}.

## Data

{recipe["pictures"]} pictures of {PICTURE[0]}x{PICTURE[1]} px, painted of gantry's own recordings with the seeds {_list(TEACH)}, in
every light and weather, every other shoot by a camera that hangs and looks a little differently. A box is that of the whole
road user, hidden parts too, cut at the picture's edge. {_rare(recipe)}Reproduce it with

    {_command(recipe)}

Settings: {settings["epochs"]} epochs, batches of {settings["batch"]}, AdamW with a rate of {settings["rate"]:g} that falls as a cosine,
seed {settings["seed"]}. {versions}.

## Worth

Average precision at an overlap of 0.5 (mAP50 is the mean of the classes), on pictures of the seeds {_list(EXAMINE)}, which nobody
was taught, by the exported model. Users lower than {LEAST_PX:g} px, or of whom less than {LEAST_VISIBLE:.0%} is visible, need not be found,
and finding them is no mistake.

| look | pictures | mAP50 | {" | ".join(CLASSES)} |
|---|---|---|{"---|" * len(CLASSES)}
{chr(10).join(rows)}

## Limits

It knows simulated scenes and nothing else: on real footage use a model that was trained on real footage. The places it is
examined on are those it was taught, with other traffic.
"""


def _command(recipe: dict[str, Any]) -> str:
    settings = recipe["settings"]
    places = (
        "" if len(recipe["places"]) == len(SCENARIOS) else "".join(f" --place {place}" for place in recipe["places"])
    )
    return (
        f"gantry train --out {recipe['name']}-training --name {recipe['name']} --pictures {recipe['pictures']}"
        f" --epochs {settings['epochs']} --batch {settings['batch']} --rate {settings['rate']:g} --seed {settings['seed']}"
        f" --rare {recipe['rare']} --rare-epochs {recipe['rare_epochs']}{places}"
    )


def _rare(recipe: dict[str, Any]) -> str:
    if not recipe["rare"]:
        return ""
    return (
        f"Then {recipe['rare']} pictures of moments with many trucks, buses, motorcycles and bicycles, "
        f"{recipe['rare_epochs']} epochs at half the rate. "
    )


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _list(seeds: tuple[int, ...]) -> str:
    return ", ".join(map(str, seeds))
