"""The command `gantry`. Each subcommand's module is imported when it is used, so `--help` is quick and whole."""

import importlib
import os
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import click

from workers.orphans import end_with_supervisor

COMMANDS = {
    "demo": ("workers.demo:demo", "Watch it count, live, with nothing but the package."),
    "up": ("workers.up:up", "Run every process on this machine, given a Kafka."),
    "count": ("workers.count:count", "Count vehicles in video files, without any broker."),
    "truth": ("workers.truth:truth", "Count by eye, to know how well a camera is counted: new."),
    "calibrate": ("workers.calibrate:calibrate", "Show how good a camera's metres are, for speeds."),
    "evaluate": ("workers.evaluate:evaluate", "Score a run against what truly happened."),
    "cameras": ("workers.registry:cameras", "Register cameras: apply, list, remove."),
    "scenes": ("workers.registry:scenes", "Register lines and zones of cameras: apply, list."),
    "groups": ("workers.registry:groups", "Register groups of cameras: apply, list."),
    "topics": ("workers.registry:topics", "Create the topics, or check them: apply."),
    "simulate": ("workers.simulate:simulate", "Traffic with exact truth: list, record, film, truth."),
    "models": ("workers.models:models", "Get and export models."),
    "train": ("workers.train:train", "Train a model of one's own, on simulated traffic."),
}
"""Subcommand -> where it is, and what `gantry --help` says of it."""

PROCESSES = {
    "capture": "Process: turn cameras into frames.",
    "detect": "Process: see objects in frames.",
    "track": "Process: follow vehicles and count them.",
    "aggregate": "Process: sum up longer windows and groups of cameras.",
    "serve": "Process: answer with events and flow.",
    "dashboard": "Process: a page to look at cameras and counts.",
}
"""Processes, in the order data flows through them; each is workers/<name>.py with main(settings) -> exit code."""

EXTRAS = {
    "torch": "torch",
    "torchvision": "torch",
    "ultralytics": "torch",
    "libsumo": "simulate",
    "sumo": "simulate",
    "pycocotools": "train",
}
"""Modules that only an extra of the installation brings."""

FAILED = 1
MEND = 78  # as workers.process says it
INTERRUPTED = 130


class Gantry(click.Group):
    """Knows its subcommands by name and imports one when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click calls it so
        """All names, whether or not they can be imported here."""
        return [*COMMANDS, *PROCESSES]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click calls it so
        """The subcommand; a ClickException where a library is missing that it needs."""
        if cmd_name in PROCESSES:
            return process_command(cmd_name)
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(imported(module, cmd_name), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Add the nearest word to a wrong one."""
        known = [*COMMANDS, *PROCESSES]
        if args and args[0] not in known and not args[0].startswith("-"):
            import difflib  # noqa: PLC0415 - only a wrong word needs it

            near = difflib.get_close_matches(args[0], known, 1)
            hint = f" Did you mean {near[0]}?" if near else f" There are: {', '.join(known)}."
            raise click.UsageError(f"there is no command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click calls it so
        """The list for --help, without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_module, text) in COMMANDS.items()])
        with formatter.section("Processes"):
            formatter.write_dl(list(PROCESSES.items()))


def process_command(name: str) -> click.Command:
    """`gantry capture --config FILE` and its like."""

    @click.command(name, help=f"{PROCESSES[name]} Runs until SIGTERM or SIGINT.")
    @click.option("--config", "file", type=click.Path(path_type=Path), help="The installation file (YAML).")
    @click.pass_context
    def command(ctx: click.Context, file: Path | None, truths: tuple[str, ...] = ()) -> None:
        config = imported("pipeline.config", name)
        errors = imported("pipeline.errors", name)
        try:
            settings = config.load(file).settings
            if truths:
                settings = imported("workers.serve", name).with_truths(settings, truths)
        except errors.Fatal as exc:
            click.echo(str(exc), err=True)
            ctx.exit(MEND)
        ctx.exit(imported(f"workers.{name}", name).main(settings))

    if name == "serve":
        command = click.option(
            "--truth", "truths", multiple=True, metavar="[CAMERA=]FILE",
            help="What is true of a simulated camera, to show beside its counts; the camera is named like the place.",
        )(command)  # fmt: skip
    return command


def imported(module: str, command: str) -> Any:
    """Import a module of ours.

    Raises:
        ClickException: a library that it needs is not there, or cannot be loaded; says what to install.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as exc:
        missing = (exc.name or "?").partition(".")[0]
        if missing in {"workers", "pipeline"}:
            raise click.ClickException(f"`gantry {command}` is not part of this installation ({exc.name})") from exc
        extra = f" EXTRAS=dev,{EXTRAS[missing]}" if missing in EXTRAS else ""
        raise click.ClickException(
            f"`gantry {command}` needs {missing}, which is not installed: make setup{extra}"
        ) from exc
    except (ImportError, OSError) as exc:  # a shared library that is missing shows as either
        text = " ".join(str(exc).split())
        raise click.ClickException(f"`gantry {command}` cannot load a library that it needs: {text}") from exc


def version() -> str:
    """The version that is installed."""
    try:
        return metadata.version("gantry-traffic")
    except metadata.PackageNotFoundError:
        return "0 (not installed: runs from its source)"


def _show_version(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"gantry {version()}")
        ctx.exit()


@click.group(cls=Gantry, context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=True)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
def cli() -> None:
    """Turns traffic cameras into traffic data: cameras, frames, detections, tracks, events, flow."""


def main() -> None:
    """The entry point: no traceback reaches a user, no secret reaches an error text."""
    end_with_supervisor()
    sys.exit(_guarded(lambda: cli.main(prog_name="gantry", standalone_mode=False)))


def _guarded(call: Callable[[], Any]) -> int:
    """Call, and turn whatever comes of it into one clear message and an exit code."""
    try:
        code = call()
    except click.ClickException as exc:
        exc.show()
        return exc.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:  # `gantry cameras list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as exc:  # noqa: BLE001 - the last door: told in one line
        from workers.saying import show_traceback, told  # noqa: PLC0415 - only an error needs it

        click.echo(told(exc), err=True)
        show_traceback(exc)
        return FAILED
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    main()
