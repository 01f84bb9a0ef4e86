"""Which classes are scored, and which of them as one."""

import difflib
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from pipeline.errors import Fatal
from pipeline.evaluate.passages import Passage

ALL, EACH = "all", "each"

KNOWN = ("bicycle", "bus", "car", "motorcycle", "person", "truck")
"""What road users are called, as COCO has it."""


class Pools(msgspec.Struct, frozen=True):
    """Class -> the pool it is scored in. Where `others` is None, other classes are left out on both sides."""

    of: Mapping[str, str]
    others: str | None = None  # EACH: each other class by itself; ALL: everything is one pool

    def pool(self, label: str) -> str | None:
        """The pool of a class; None: it is left out."""
        if label in self.of:
            return self.of[label]
        return label if self.others == EACH else self.others

    def scored(self, passages: Iterable[Passage]) -> tuple[Passage, ...]:
        """The passages whose class is in a pool."""
        return tuple(p for p in passages if self.pool(p.label) is not None)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean car?)`, or the whole choice where nothing is near."""
    choice = sorted(known)
    near = difflib.get_close_matches(word.lower(), choice, 1, 0.6)
    return f" (did you mean {near[0]}?)" if near else f" (known: {', '.join(choice)})"


def strangers(name: str, passages: Iterable[Passage]) -> list[str]:
    """A note on classes that nobody knows; empty where there are none."""
    labels = [p.label for p in passages if p.label not in KNOWN]
    if not labels:
        return []
    told = ", ".join(f"{label}{did_you_mean(label, KNOWN)}" for label in sorted(set(labels)))
    return [f"classes: {len(labels)} crossings of {name} have a class that nobody knows: {told}"]


def pools(text: str | None, wanted_by_truth: Sequence[str] = (), others_known: Iterable[str] = ()) -> Pools:
    """Read how classes are pooled.

    Args:
        text: `car+bus+truck,motorcycle`: pools are parted by commas, the classes of one pool joined by plus signs,
            and other classes are left out; `all`: everything is one pool; `each`: every class by itself; None: what
            the truth wants, or else `each`.
        wanted_by_truth: the classes that the truth wants as one pool.
        others_known: classes that a run or a truth holds, beside `KNOWN`.

    Raises:
        Fatal: a class is empty, stands twice, or nobody knows it.
    """
    if text is None:
        text = "+".join(wanted_by_truth) or EACH
    if text in {ALL, EACH}:
        return Pools({}, text)
    of: dict[str, str] = {}
    known = {*KNOWN, *others_known, *wanted_by_truth}
    for pool in text.split(","):
        labels = sorted(label.strip() for label in pool.split("+"))
        for label in labels:
            if not label or label in of or labels.count(label) > 1:
                what = f"{label!r} stands twice" if label else "a class is empty"
                raise Fatal(f"--classes {text}: {what}; write pools like car+bus+truck,motorcycle, or all, or each")
            if label not in known:
                raise Fatal(f"--classes {text}: nobody knows the class {label!r}{did_you_mean(label, known)}")
            of[label] = "+".join(labels)
    return Pools(of)
