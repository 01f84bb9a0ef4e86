"""A whole training: pictures, network, examination, and the model's folder with its card. Each step is done once.

Whatever is interrupted goes on where it was when it is asked for again with the same recipe and folder.
"""

import asyncio
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import msgspec

from pipeline.adapters.painter import Looks, Painter
from pipeline.adapters.yolo import load_model
from pipeline.adapters.yolo.export import export
from pipeline.adapters.yolo.training import card, require
from pipeline.adapters.yolo.training.pictures import jpeg, paint
from pipeline.adapters.yolo.training.scoring import Examined, precision
from pipeline.adapters.yolo.training.trainer import Settings, Step, train
from pipeline.core.model import Detections
from pipeline.errors import Fatal
from pipeline.simulate.journeys import recorded
from pipeline.simulate.lessons import TEACH, Shoot, boxes, examination, rare_shoots, shoots
from pipeline.simulate.scenarios import SCENARIOS, scenario

DURATION_MS = 300_000
"""Of the recordings that come with gantry."""

_LEAST_SCORE = 0.01


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a model depends on."""

    name: str = "gantry-s"
    places: tuple[str, ...] = tuple(SCENARIOS)
    pictures: int = 6000
    rare: int = 3000  # pictures of a second course, of moments with many rare users; 0: none
    rare_epochs: int = 8
    examined: int = 8  # pictures of every place in every light and weather
    chance: int = 1
    settings: Settings = Settings()


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """Told as the work goes on."""

    what: str
    done: int
    total: int
    more: str = ""


def teach(recipe: Recipe, folder: Path, *, jobs: int, tell: Callable[[Progress], None]) -> Path:
    """Train a model.

    Args:
        recipe: what it depends on; kept in the folder, where another one is refused.
        folder: where everything is kept.
        jobs: processes that paint, and threads that train.
        tell: called as the work goes on.

    Returns:
        The model's folder, with `card.json` and `card.md`.

    Raises:
        Fatal: the extra `train` is missing, the folder holds another training or cannot be written, or it failed.
    """
    require()
    _claim(folder, recipe)
    shots = list(
        shoots(recipe.places, TEACH, pictures=recipe.pictures, duration_ms=DURATION_MS, chance=recipe.chance, vary=True)
    )
    paint(shots, folder / "pictures", jobs=jobs, progress=lambda d, n: tell(Progress(what="painting", done=d, total=n)))

    def stepped(step: Step, what: str = "training") -> None:
        done = (step.epoch - 1) * step.batches + step.done
        loss = (
            ""
            if step.loss is None
            else f"epoch {step.epoch} of {step.epochs}, loss {step.loss / recipe.settings.batch:.2f}"
        )
        tell(Progress(what=what, done=done, total=step.epochs * step.batches, more=loss))

    weights = train(folder, recipe.settings, threads=jobs, progress=stepped)
    if recipe.rare and recipe.rare_epochs:
        weights = _rare(recipe, folder / "rare", weights, jobs=jobs, tell=tell, stepped=stepped)
    named = folder / f"{recipe.name}.pt"
    named.unlink(missing_ok=True)
    named.hardlink_to(weights)
    model = export(named, folder / recipe.name, precision="fp16")
    examined = asyncio.run(_examine(model, recipe, tell))
    card.write(model, recipe=msgspec.to_builtins(recipe), worth=_worth(examined), made_with=_versions())
    return model


def _rare(
    recipe: Recipe,
    folder: Path,
    weights: Path,
    *,
    jobs: int,
    tell: Callable[[Progress], None],
    stepped: Callable[[Step, str], None],
) -> Path:
    """A second, shorter course on what is seldom on the road, beginning where the first one ended; its weights."""
    folder.mkdir(exist_ok=True)
    shots = list(rare_shoots(recipe.places, TEACH, pictures=recipe.rare, chance=recipe.chance))
    paint(
        shots,
        folder / "pictures",
        jobs=jobs,
        progress=lambda d, n: tell(Progress(what="painting what is rare", done=d, total=n)),
    )
    settings = msgspec.structs.replace(recipe.settings, epochs=recipe.rare_epochs, rate=recipe.settings.rate / 2)
    return train(
        folder, settings, threads=jobs, progress=lambda step: stepped(step, "training on what is rare"), begin=weights
    )


def _claim(folder: Path, recipe: Recipe) -> None:
    file, told = folder / "recipe.json", msgspec.json.format(msgspec.json.encode(recipe), indent=2)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if file.exists() and file.read_bytes() != told:
            raise Fatal(
                f"{folder} holds a training by another recipe (recipe.json); name another --out, or give the same options"
            )
        if not file.exists():
            if any(folder.iterdir()):
                raise Fatal(f"{folder} holds something else; name another --out")
            file.write_bytes(told)
    except OSError as exc:
        raise Fatal(f"{exc.filename or folder} cannot be written: {exc.strerror or exc}") from exc


async def _examine(model: Path, recipe: Recipe, tell: Callable[[Progress], None]) -> list[Examined]:
    """Show the model pictures of seeds that it was not taught."""
    shots = list(examination(recipe.places, each=recipe.examined, duration_ms=DURATION_MS, chance=recipe.chance))
    total = sum(len(shot.times_ms) for shot in shots)
    seeing = load_model(model, score=_LEAST_SCORE)
    done: list[Examined] = []
    try:
        for shot in shots:
            jpegs = await asyncio.to_thread(_pictures, shot)
            recording, place = recorded(shot.place, shot.seed), scenario(shot.place)
            for t_ms, answer in zip(shot.times_ms, await seeing.detect(jpegs), strict=True):
                assert isinstance(answer, Detections)
                done.append(
                    Examined(look=f"{shot.daylight} {shot.weather}", truth=boxes(recording, place, t_ms), seen=answer)
                )
            tell(Progress(what="examining", done=len(done), total=total))
    finally:
        seeing.close()
    return done


def _pictures(shot: Shoot) -> list[bytes]:
    painter = Painter(recorded(shot.place, shot.seed), scenario(shot.place), Looks(shot.daylight, shot.weather, seed=1))
    return [jpeg(painter, t_ms) for t_ms in shot.times_ms]


def _worth(examined: list[Examined]) -> list[card.Worth]:
    """mAP50 and precision by class: by day, in every look, and in all."""
    looks = list(dict.fromkeys(each.look for each in examined))
    groups = [("day", [each for each in examined if each.look.startswith("day ")])]
    groups += [(look, [each for each in examined if each.look == look]) for look in looks]
    groups.append(("all", examined))
    made = []
    for look, of in groups:
        found = precision(of)
        made.append(card.Worth(look=look, pictures=len(of), map50=found.mean, by_class=found.of, wanted=found.wanted))
    return made


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("torch", "ultralytics-opencv-headless", "openvino", "pycocotools")}
