"""The JSON Schemas of a truth file and of a line of a frames file.

`python -m pipeline.simulate.schema` writes the published copies anew; a test fails while one is out of date.
"""

import json
from pathlib import Path
from typing import Any

import msgspec

import pipeline.wire.schemas
from pipeline.simulate.frames import Frame
from pipeline.simulate.truth import Truth

_FOLDER = Path(pipeline.wire.schemas.__file__).parent

PUBLISHED: dict[type[msgspec.Struct], Path] = {
    Truth: _FOLDER / "truth.schema.json",
    Frame: _FOLDER / "frames.schema.json",
}
"""What a file or a line of it is made from -> its published schema."""

_TITLES: dict[type[msgspec.Struct], str] = {Truth: "gantry truth", Frame: "gantry frames, one line"}


def schema(kind: type[msgspec.Struct] = Truth) -> dict[str, Any]:
    """The schema, made from the types that write (and of truth also read) the file."""
    (whole,), parts = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": _TITLES[kind],
        **whole,
        "$defs": dict(sorted(parts.items())),
    }


def published(kind: type[msgspec.Struct] = Truth) -> str:
    """The schema as it lies in the published file."""
    return json.dumps(schema(kind), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for _kind, _file in PUBLISHED.items():
        _file.write_text(published(_kind), encoding="utf-8")
