"""`gantry models`: fetch, export and look at models."""

from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from pipeline.adapters.yolo import folder
from pipeline.adapters.yolo.checkpoint import check
from pipeline.adapters.yolo.download import NAMES, PINNED, RELEASE, Downloaded, download
from pipeline.adapters.yolo.export import PRECISIONS, export
from pipeline.adapters.yolo.torch import require
from pipeline.errors import Fatal

_out = click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="The folder to make.  [default: one in the models folder, named after the model]",
)
_precision = click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="fp32",
    show_default=True,
    help="Of the stored numbers; fp16 is half the size.",
)


@click.group()
def models() -> None:
    """Fetch, export and look at models.

    The models folder is GANTRY_MODELS, or ~/.cache/gantry/models.
    """


@models.command()
@click.argument("name_or_url")
@_out
@_precision
@click.option("--from", "base", envvar="GANTRY_MODELS_URL", default=RELEASE, help="Where NAME.pt lies, for names.")
@click.option("--sha256", help="The digest the weights must have. Known names bring their own.")
def get(name_or_url: str, out: Path | None, precision: str, base: str, sha256: str | None) -> None:
    """Download weights and export them for OpenVINO.

    NAME_OR_URL is a name such as yolov8n (sizes n, s, m, l, x) or yolo11n, or the address of a .pt file.
    """
    require()  # before the download, not after it
    name, url = _place(name_or_url, base)
    weights = folder.models_folder() / f"{name}.pt"
    pinned = sha256 or PINNED.get(name if "://" not in name_or_url else "")
    if pinned is not None and weights.is_file() and folder.sha256(weights) == pinned.lower():
        click.echo(f"{weights} is there already, and its digest is right")
    else:
        got = _fetch(url, weights, pinned)
        held = "as it must be" if pinned else "which nobody held it to: keep it, and give it as --sha256 next time"
        click.echo(f"{got.path}: {got.size} bytes, SHA-256 {got.sha256}, {held}")
    _export(weights, out, precision)


@models.command(name="export")
@click.argument("name_or_file")
@_out
@_precision
def export_(name_or_file: str, out: Path | None, precision: str) -> None:
    """Make the OpenVINO folder from Ultralytics weights.

    NAME_OR_FILE is a .pt file, or the name of one in the models folder. Weights are code in part: export only
    those of people you trust.
    """
    _export(_weights(name_or_file), out, precision)


@models.command(name="list")
def list_() -> None:
    """What is in the models folder, and what comes with gantry."""
    home = folder.models_folder()
    own = [row for path in (sorted(home.glob("*")) if home.is_dir() else []) if (row := _row(path))]
    if own:
        click.echo(f"in {home}:")
        _show_rows(own)
    else:
        click.echo(f"no models in {home}: `gantry models get yolov8n` fetches one")
    shipped = [row for path in sorted(folder.SHIPPED.glob("*")) if (row := _row(path))]
    if shipped:
        click.echo("come with gantry:")
        _show_rows(shipped)


def _row(path: Path) -> tuple[str, ...] | None:
    """What is told of one model; None: it is none."""
    if (path / folder.CARD).is_file():
        try:
            card = folder.read_card(path)
        except Fatal as exc:
            return (path.name, f"unusable: {exc}")
        made_from = f"{card.weights} {card.model.digest[:12]}"
        return (path.name, made_from, card.precision, str(len(card.model.labels)), _megabytes(path))
    if path.suffix == ".pt" and path.is_file():
        return (path.name, "weights", "", "", _megabytes(path))
    return None


def _show_rows(rows: list[tuple[str, ...]]) -> None:
    table = Table("model", "made from", "stored as", "classes", "MB", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    Console().print(table)


@models.command()
@click.argument("path", type=click.Path(path_type=Path))
def show(path: Path) -> None:
    """What a model is: a folder, a .pt file, or a name in the models folder. Checks its files."""
    path = folder.locate(path)
    if path.is_file():
        check(path)
        click.echo(f"{path}: whole Ultralytics weights of a detection model")
        click.echo(f"SHA-256   {folder.sha256(path)}")
        return
    found = folder.read(path)
    click.echo(f"{path}: {found.traits.identity}")
    click.echo(f"SHA-256   {found.traits.digest}")
    click.echo(f"input     {found.traits.longest} px, in steps of {found.traits.stride}")
    if found.card is not None:
        click.echo(f"made from {found.card.weights} ({found.card.weights_bytes} bytes)")
        click.echo(f"made with {', '.join(f'{name} {version}' for name, version in found.card.made_with.items())}")
        click.echo(f"stored as {found.card.precision}")
    click.echo(f"classes   {', '.join(found.traits.labels.values())}")


def _place(name_or_url: str, base: str) -> tuple[str, str]:
    """The model's name, and where its weights lie."""
    if "://" in name_or_url:
        file = PurePosixPath(urlsplit(name_or_url).path)
        if file.suffix != ".pt":
            raise Fatal("give the address of a .pt file")
        return file.stem, name_or_url
    name = name_or_url.removesuffix(".pt")
    if name not in NAMES:
        raise Fatal(f"no model is called {name_or_url!r}: known are {', '.join(NAMES)}; or give an address")
    return name, f"{base.rstrip('/')}/{name}.pt"


def _fetch(url: str, to: Path, sha256: str | None) -> Downloaded:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(to.name, total=None)
        return download(
            url, to, sha256=sha256, progress=lambda done, total: bar.update(task, completed=done, total=total)
        )


def _weights(name_or_file: str) -> Path:
    path = Path(name_or_file)
    named = folder.models_folder() / f"{name_or_file.removesuffix('.pt')}.pt"
    if not path.is_file() and path.parent == Path() and named.is_file():
        return named
    if path.is_dir():
        raise Fatal(f"{path} is a folder; export takes Ultralytics weights (.pt)")
    if not path.exists():
        raise Fatal(f"there is no {path}; `gantry models get NAME` downloads weights")
    return path


def _export(weights: Path, out: Path | None, precision: str) -> None:
    name = weights.stem if precision == "fp32" else f"{weights.stem}-{precision}"
    made = export(weights, out or folder.models_folder() / name, precision=precision)
    click.echo(f"{made} is ready: {folder.read(made).traits.identity}")


def _megabytes(path: Path) -> str:
    files = [path] if path.is_file() else [file for file in path.iterdir() if file.is_file()]
    return f"{sum(file.stat().st_size for file in files) / 1e6:.1f}"
