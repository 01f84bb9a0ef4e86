"""The JSON Schema of the installation file, for editors.

    # yaml-language-server: $schema=https://.../installation.schema.json

`python -m pipeline.config.schema` writes the published copy anew; a test fails while it is out of date.
"""

import json
from pathlib import Path
from typing import Any

import msgspec

import pipeline.wire.schemas
from pipeline.config.entries import InstallationFile, SceneEntry

PUBLISHED = Path(pipeline.wire.schemas.__file__).with_name("installation.schema.json")


def schema() -> dict[str, Any]:
    """The schema: an installation, or a single scene where `drawn_on`, `lines` or `zones` is at the top."""
    (whole, scene), parts = msgspec.json.schema_components(
        [InstallationFile, SceneEntry], ref_template="#/$defs/{name}"
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "gantry installation",
        "if": {"anyOf": [{"required": [key]} for key in ("drawn_on", "lines", "zones")]},
        "then": scene,
        "else": whole,
        "$defs": dict(sorted(parts.items())),
    }


def published() -> str:
    """The schema as it lies in the published file."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PUBLISHED.write_text(published(), encoding="utf-8")
