"""The peers' packages, which stand beside ours (`make accuracy` puts them into build/peers)."""

import importlib
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pipeline.errors import Fatal


def peer(module: str) -> Any:
    """A module of a peer's package. Raises Fatal where it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError as exc:
        raise Fatal(f"{module} cannot be imported ({exc}): `make accuracy` installs the peers and runs this") from exc


def versions(*packages: str) -> str:
    """What is installed, for people and for results that are kept. Raises Fatal where something is missing."""
    try:
        return ", ".join(f"{package} {version(package)}" for package in packages)
    except PackageNotFoundError as exc:
        raise Fatal(f"{exc.name} is not installed: `make accuracy` installs the peers and runs this") from exc
