"""How a benchmark is run from a shell: what is wrong is one line and an exit code, never a traceback."""

import sys

import click

from pipeline.errors import Fatal


def run(command: click.Command) -> None:
    """Run a command of this folder to its end. Raises SystemExit."""
    try:
        command.main(standalone_mode=False)
    except click.ClickException as exc:
        exc.show()
        sys.exit(exc.exit_code)
    except Fatal as exc:
        sys.exit(f"accuracy: {exc}")
