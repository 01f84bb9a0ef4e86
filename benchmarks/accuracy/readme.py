"""README's table: of the published results, gantry and the peers at their best, word by word.

`python -m benchmarks.accuracy.readme` writes it anew.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.accuracy.suite import NOISE, TUNED
from benchmarks.accuracy.table import OURS, heading
from pipeline.errors import Fatal

README, RESULTS = Path("README.md"), Path("docs/accuracy-results.md")

BEGIN, END = "<!-- accuracy: written by benchmarks/accuracy/readme.py -->\n", "<!-- accuracy: end -->\n"
"""What stands around the table."""

TITLE = f"simulated roads, noise {NOISE}"
"""The group of results that is shown."""


def table(results: str) -> str:
    """The rows of gantry and of tuned peers, with the head of their table.

    Args:
        results: the page of all results.

    Raises:
        Fatal: it has no such table, or nobody who is wanted in it.
    """
    head, rule, *rows = _table(results) or ["", ""]
    shown = [row for row in rows if _method(row) == OURS or _method(row).endswith(f", {TUNED}")]
    if not shown:
        raise Fatal(f"{RESULTS} has no results of {OURS} and its peers under {heading(TITLE)!r}")
    return "\n".join([head, rule, *shown, ""])


def written(readme: str, results: str) -> str:
    """README with the table of these results. Raises Fatal: it has no place for it, or the results have none."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise Fatal(f"{README} must have the lines {BEGIN.strip()!r} and {END.strip()!r} around its table")
    return f"{before}{begin}\n{table(results)}\n{end}{after}"


def _table(results: str) -> list[str]:
    return list(_rows(results.partition(f"{heading(TITLE)}\n")[2]))


def _rows(text: str) -> Iterator[str]:
    """The first table of a text, up to the next heading."""
    begun = False
    for line in text.splitlines():
        if line.startswith("|"):
            begun = True
            yield line
        elif begun or line.startswith("#"):
            return


def _method(row: str) -> str:
    return row.split("|")[2].strip()


if __name__ == "__main__":
    try:
        README.write_text(written(README.read_text(), RESULTS.read_text()))
    except Fatal as exc:
        sys.exit(f"accuracy: {exc}")
