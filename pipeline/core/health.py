"""Whether a camera's picture can be trusted: measured once a second on the picture that is sent, decided here.

`measure` turns a picture into a few numbers and a small grey thumbnail; capture applies it and remembers nothing but
the picture before. `judge` holds each of these against a reference that the camera's memory keeps, so it survives a
restart of either side and a replay decides the same.

The reference is the typical gradient of each cell of the thumbnail, without the traffic and nearly without the light:
a gradient g counts as g / (|g| + SOFT), and each cell of the reference walks towards it by a fixed step, which ends at
the median.

Source:
    The median by steps: A. Manzanera, J. Richefeu, A new motion detection algorithm based on sigma-delta background
    estimation, Pattern Recognition Letters 28 (2007). Shift by correlation of gradient fields: V. Argyriou, T. Vlachos,
    Using gradient correlation for sub-pixel motion estimation of video sequences, ICASSP 2004; its rest, with turn and
    zoom, by least squares as B. Lucas, T. Kanade, IJCAI 1981, reweighted against traffic.
"""

from enum import StrEnum
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipeline.core.model import THUMB, Health, HealthEvidence, HealthState

_TILES = (6, 4)  # across and down, of which some may be covered
_SOFT = 3.0  # grey levels between neighbouring cells; the noise of a cell's mean is far below, a road's edge above
_SCALE = 127  # a reference is kept in bytes
_STRONG = 0.35  # of a reference's cell: an edge that is always there
_LEAST_STRONG = 24  # such cells without which there is too little to recognise a picture by
_LEAST_IN_TILE = 6
_STEPS = ((10_000, 24), (30_000, 8), (120_000, 2))  # a reference younger than this walks so fast, an older one by 1
_SETTLE_MS = 60_000.0  # in which sharpness and contrast of a reference follow
_LEAST_OVERLAP = 0.3  # of a shifted picture with its reference
_CLEAR = 0.7  # share of the reference's edges that is nearly all of them
_IN_PLACE = 0.8  # agreement that nothing has which was shifted by a cell
_SIDE = 0.75  # of a shift: so far from it is not back yet, and not on the other side
_SHIFT_SHARE = 0.25  # of what is new, in the running mean of a shift
_ROUNDS = 4  # of the reweighted fit

Grey = NDArray[np.uint8]
_Field = NDArray[np.complex128]


class HealthPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a healthy picture is, and how long the opposite must last."""

    learn_ms: int = 5_000  # a view is learnt for so long before anything is held against it
    moved_share: float = 0.015  # of the picture's width: shifted, turned or zoomed by so much in the mean is moved
    agree: float = 0.5  # above it a picture shows the reference's view (1: the same edges, 0: by chance)
    differ: float = 0.4  # below it, in place and shifted, it shows another one
    covered_share: float = 0.25  # so many of the parts that have edges, without them, are a covered lens
    covered: float = 0.3  # a part is without edges that has less than this share of the reference's
    blind: float = 0.5  # a picture sees nothing that has less than this share of the reference's edges
    least_edges: float = 0.12  # or less than this in the mean of its cells, whatever the reference has
    blurred: float = 0.35  # its sharpness, at the same contrast, fell below this share of the reference's
    frozen_levels: float = 0.02  # grey levels by which a frozen picture may differ from the one before; noise is more
    sudden_ms: int = 10_000  # who goes blind faster than this, neither in glare nor in the dark, is covered
    dark: float = 24.0  # grey levels of the mean
    bright: float = 200.0
    moved_ms: int = 20_000
    obstructed_ms: int = 30_000
    blinded_ms: int = 15_000
    frozen_ms: int = 40_000  # longer than cameras wait for a key picture while nothing happens
    well_ms: int = 10_000  # and so long well again
    pause_ms: int = 3_500  # evidence may be interrupted for so long,
    against: float = 0.25  # and for this share of its time in all
    silence_ms: int = 10_000  # after so long without a record evidence begins anew
    forget_ms: int = 60_000  # pictures that are not measured for so long: nothing is known of their health
    views: int = 3  # that are remembered, the present one among them


# --- memory -------------------------------------------------------------------------------------


class View(msgspec.Struct, frozen=True, array_like=True):
    """What a camera shows when it is well: the reference."""

    number: int
    across: bytes  # of each inner cell, the typical step from left to right: a signed byte
    down: bytes
    sharpness: float
    contrast: float
    watched_ms: int = 0  # learnt for so long
    revision: int | None = None  # of the scene that was drawn on it


class Doubt(msgspec.Struct, frozen=True, array_like=True):
    """Evidence that a camera's state is another one."""

    state: HealthState
    since_ms: int
    last_ms: int  # of the last record that says so
    against_ms: int = 0  # how much of the time since records said otherwise
    shift: tuple[float, float] | None = None  # of the view, where it could be told


class HealthMemory(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is remembered of a camera's health. Bounded: `HealthPolicy.views` references and one to come."""

    state: HealthState | None = None  # None: not known
    since_ms: int | None = None  # of the state
    at_ms: int | None = None  # of the last record
    clear_ms: int | None = None  # when most of the reference's edges were seen last
    well_ms: int | None = None  # since when a camera that is not well looks well
    back_ms: int | None = None  # since when it shows a view of the past
    doubt: Doubt | None = None
    view: View | None = None
    past: list[View] = []  # the latest first
    coming: View | None = None  # what it shows since it was moved
    revision: int | None = None  # of the scene
    drawn_ms: int | None = None  # when that came

    @property
    def healthy(self) -> bool | None:
        """Whether counts are valid; None: not known, and nothing is held against them."""
        return None if self.state is None else self.state is HealthState.OK

    @property
    def number(self) -> int:
        """Which view the camera shows: 0 at first."""
        return self.view.number if self.view is not None else 0


class Judged(NamedTuple):
    """The answer to one record."""

    memory: HealthMemory
    since_ms: int | None = None  # not None: the state changed, by evidence since then
    evidence: HealthEvidence | None = None


# --- measuring ----------------------------------------------------------------------------------


def measure(grey: Grey, before: Grey | None) -> Health:
    """Measure one picture.

    Args:
        grey: its brightness, [height, width] from 0 to 255.
        before: the picture measured before it, about a second ago. None, or of another size: there is none.
    """
    rows = grey[::2]
    steps = np.abs(rows[:, 2:].astype(np.int16) - rows[:, :-2])
    difference = None
    if before is not None and before.shape == grey.shape:
        difference = round(float(np.abs(rows.astype(np.int16) - before[::2]).mean()), 3)
    return Health(
        brightness=round(float(rows.mean()), 1),
        contrast=round(float(rows.std()), 1),
        sharpness=round(float(steps.mean()), 2) if steps.size else 0.0,
        difference=difference,
        thumb=_cells(grey).tobytes(),
    )


def _cells(grey: Grey) -> Grey:
    """Means of THUMB cells; a picture smaller than that gives some of its pixels to several cells."""
    height, width = grey.shape
    x, y = np.arange(THUMB.width) * width // THUMB.width, np.arange(THUMB.height) * height // THUMB.height
    by_row = np.add.reduceat(grey, y, axis=0, dtype=np.uint32)
    sums = np.add.reduceat(by_row, x, axis=1, dtype=np.uint32)
    sizes = np.maximum(np.diff(y, append=height), 1)[:, None] * np.maximum(np.diff(x, append=width), 1)
    means: Grey = ((sums + sizes // 2) // sizes).astype(np.uint8)
    return means


# --- judging ------------------------------------------------------------------------------------


def judge(memory: HealthMemory, health: Health, at_ms: int, *, aspect: float, policy: HealthPolicy) -> Judged:
    """Take one measured picture.

    Args:
        memory: of the camera.
        health: the picture, captured at_ms.
        aspect: width by height of the camera's picture, for turns and zooms.
        policy: beliefs and limits.

    Returns:
        The new memory; and, where it has another state, since when, and by what.
    """
    passed_ms = 0 if memory.at_ms is None else at_ms - memory.at_ms
    if passed_ms < 0 or passed_ms > policy.silence_ms:
        memory = msgspec.structs.replace(memory, doubt=None, well_ms=None, back_ms=None)
        passed_ms = 0
    memory = msgspec.structs.replace(memory, at_ms=at_ms)
    field = _field(health.thumb)
    if memory.view is None:
        view = _first(0, field, health, memory.revision)
        return Judged(msgspec.structs.replace(memory, view=view, clear_ms=at_ms))
    seen = _look(memory.view, field, health, aspect, policy)
    if seen.clear >= _CLEAR:
        memory = msgspec.structs.replace(memory, clear_ms=at_ms)
    says = _verdict(seen, memory, at_ms, policy)
    memory = _learn(memory, says, field, health, passed_ms, policy)
    if memory.state is HealthState.MOVED:
        memory = _find(memory, says, field, health, at_ms, aspect, policy)
        if memory.state is HealthState.OK:
            return Judged(memory, memory.since_ms, seen.evidence)
    memory = _weigh(memory, says, seen.shift, at_ms, passed_ms, policy)
    return _decide(memory, says, seen.evidence, at_ms, policy)


def unheard(memory: HealthMemory, at_ms: int, policy: HealthPolicy) -> HealthMemory:
    """A picture came at_ms: whether its like is measured at all any more. If not, nothing is known of the health."""
    if memory.state is None or memory.at_ms is None or at_ms - memory.at_ms <= policy.forget_ms:
        return memory
    return msgspec.structs.replace(
        memory, state=None, since_ms=at_ms, at_ms=None, doubt=None, well_ms=None, back_ms=None, coming=None
    )


def drawn(memory: HealthMemory, revision: int, at_ms: int) -> HealthMemory:
    """A scene of this revision holds from at_ms on. Drawn while the camera is well, it belongs to what it shows."""
    if revision == memory.revision:
        return memory
    memory = msgspec.structs.replace(memory, revision=revision, drawn_ms=at_ms)
    if memory.view is None or memory.state is HealthState.MOVED or memory.doubt is not None:
        return memory
    return msgspec.structs.replace(memory, view=msgspec.structs.replace(memory.view, revision=revision))


class _Says(StrEnum):
    """What one picture says, taken alone."""

    OK = "ok"
    MOVED = "moved"
    OBSTRUCTED = "obstructed"
    BLINDED = "blinded"
    FROZEN = "frozen"
    NOTHING = "nothing"


class _Seen(NamedTuple):
    """A picture beside its reference."""

    clear: float  # share of the reference's edges that are there
    edges: float  # mean of all cells
    displaced: float | None  # mean, in shares of the width; None: it shows nothing of the view
    agreement: float | None
    shift: tuple[float, float] | None
    evidence: HealthEvidence


def _look(view: View, field: _Field, health: Health, aspect: float, policy: HealthPolicy) -> _Seen:
    reference = _reference(view)
    strong = np.abs(reference) > _STRONG
    enough = int(strong.sum()) >= _LEAST_STRONG
    agreement = _agreement(reference, field) if enough else None
    fit = _fit(reference, field, aspect, policy.agree) if enough else None
    clear = float(np.abs(field)[strong].sum() / np.abs(reference)[strong].sum()) if enough else 1.0
    # Less contrast makes a picture less sharp, too: that is light, not focus.
    sharp = (health.sharpness + 0.1) / (view.sharpness + 0.1)
    sharp /= max(0.1, min(1.0, (health.contrast + 1.0) / (view.contrast + 1.0)))
    evidence = HealthEvidence(
        brightness=health.brightness,
        contrast=health.contrast,
        sharpness=health.sharpness,
        difference=health.difference,
        sharpness_share=round(sharp, 3),
        edges_share=round(clear, 3) if enough else None,
        covered_share=_covered(reference, field, policy.covered) if enough else None,
        agreement=_rounded(agreement, 3),
        shift_x=_rounded(fit.shift_x, 4) if fit else None,
        shift_y=_rounded(fit.shift_y, 4) if fit else None,
        turn_degrees=_rounded(fit.turn_degrees, 2) if fit else None,
        zoom=_rounded(fit.zoom, 4) if fit else None,
    )
    shift = (fit.shift_x, fit.shift_y) if fit else None
    return _Seen(clear, float(np.abs(field).mean()), fit.displaced if fit else None, agreement, shift, evidence)


def _verdict(seen: _Seen, memory: HealthMemory, at_ms: int, policy: HealthPolicy) -> _Says:  # noqa: PLR0911 - a table
    """What a picture says, the gravest first: a black picture that never changes is blind, not frozen."""
    found = seen.evidence
    if seen.edges < policy.least_edges or (found.edges_share is not None and found.edges_share < policy.blind):
        if memory.state in {HealthState.OBSTRUCTED, HealthState.BLINDED}:
            return _Says(memory.state.value)  # how it began was decided then
        if not policy.dark <= found.brightness <= policy.bright or memory.clear_ms is None:
            return _Says.BLINDED
        began_ms = memory.doubt.since_ms if memory.doubt is not None else at_ms
        return _Says.OBSTRUCTED if began_ms - memory.clear_ms <= policy.sudden_ms else _Says.BLINDED
    if found.covered_share is not None and found.covered_share >= policy.covered_share:
        return _Says.OBSTRUCTED
    if found.sharpness_share is not None and found.sharpness_share < policy.blurred:
        return _Says.BLINDED
    if found.difference is not None and found.difference <= policy.frozen_levels:
        return _Says.FROZEN
    if seen.agreement is None:
        return _Says.OK
    if seen.displaced is not None:
        return _Says.MOVED if seen.displaced >= policy.moved_share else _Says.OK
    return _Says.MOVED if seen.agreement < policy.differ else _Says.NOTHING


def _learn(
    memory: HealthMemory, says: _Says, field: _Field, health: Health, passed_ms: int, policy: HealthPolicy
) -> HealthMemory:
    """The present view follows what is well; a view that may be to come follows what is not."""
    assert memory.view is not None
    young = memory.state is None and memory.view.watched_ms < policy.learn_ms
    well = memory.state in {None, HealthState.OK} and memory.doubt is None and says is _Says.OK
    if young or well:
        return msgspec.structs.replace(memory, view=_followed(memory.view, field, health, passed_ms))
    if memory.state is not HealthState.MOVED or says not in {_Says.MOVED, _Says.NOTHING}:
        return memory
    coming = memory.coming
    other = coming is None or (_agreement(_reference(coming), field) or 0.0) < policy.differ
    if coming is None or other:  # it was moved on
        return msgspec.structs.replace(memory, coming=_first(0, field, health, None))
    return msgspec.structs.replace(memory, coming=_followed(coming, field, health, passed_ms))


def _find(
    memory: HealthMemory, says: _Says, field: _Field, health: Health, at_ms: int, aspect: float, policy: HealthPolicy
) -> HealthMemory:
    """A moved camera: whether it shows a view of the past, or a new one that a scene was drawn on."""
    view, coming = memory.view, memory.coming
    assert view is not None
    assert memory.since_ms is not None
    new_scene = memory.drawn_ms is not None and memory.drawn_ms >= memory.since_ms and memory.revision != view.revision
    if says is _Says.OK:
        view = msgspec.structs.replace(view, revision=memory.revision) if new_scene else view
        return msgspec.structs.replace(memory, view=view, back_ms=None)
    past = next((old for old in memory.past if _shows(old, field, health, aspect, policy)), None)
    if past is not None:
        since_ms = at_ms if memory.back_ms is None else memory.back_ms
        if at_ms - since_ms < policy.well_ms:
            return msgspec.structs.replace(memory, back_ms=since_ms)
        others = [view, *(old for old in memory.past if old is not past)]
        return msgspec.structs.replace(memory, view=past, past=others, coming=None, back_ms=None)
    memory = msgspec.structs.replace(memory, back_ms=None)
    if not new_scene or coming is None or coming.watched_ms < policy.learn_ms:
        return memory
    number = 1 + max(view.number, *(old.number for old in memory.past), 0)
    return msgspec.structs.replace(
        memory,
        state=HealthState.OK,
        since_ms=at_ms,
        view=msgspec.structs.replace(coming, number=number, revision=memory.revision),
        past=[view, *memory.past][: policy.views - 1],
        coming=None,
        doubt=None,
        well_ms=None,
    )


def _shows(view: View, field: _Field, health: Health, aspect: float, policy: HealthPolicy) -> bool:
    seen = _look(view, field, health, aspect, policy)
    return seen.displaced is not None and seen.displaced < policy.moved_share


def _weigh(
    memory: HealthMemory,
    says: _Says,
    shift: tuple[float, float] | None,
    at_ms: int,
    passed_ms: int,
    policy: HealthPolicy,
) -> HealthMemory:
    """What a picture adds to the evidence, and takes from it."""
    doubt = memory.doubt
    state = HealthState(says.value) if says is not _Says.NOTHING else None
    if state is not None and state not in {HealthState.OK, memory.state}:
        related = doubt is not None and (
            doubt.state is state or {doubt.state, state} == {HealthState.OBSTRUCTED, HealthState.BLINDED}
        )
        if doubt is not None and related and _same_side(doubt.shift, shift, policy):
            where = _mean_shift(doubt.shift, shift) if state is HealthState.MOVED else None
            doubt = msgspec.structs.replace(doubt, state=state, last_ms=at_ms, shift=where)
        else:
            doubt = Doubt(state, at_ms, at_ms, 0, shift if state is HealthState.MOVED else None)
    elif doubt is not None:
        doubt = msgspec.structs.replace(doubt, against_ms=doubt.against_ms + passed_ms)
        if at_ms - doubt.last_ms > policy.pause_ms:
            doubt = None
    well_ms = None
    if memory.state is not None and memory.state is not HealthState.OK:
        fits = memory.view is not None and memory.view.revision == memory.revision
        if state is HealthState.OK and fits:
            well_ms = at_ms if memory.well_ms is None else memory.well_ms
        elif state is None:
            well_ms = memory.well_ms
    return msgspec.structs.replace(memory, doubt=doubt, well_ms=well_ms)


def _same_side(before: tuple[float, float] | None, now: tuple[float, float] | None, policy: HealthPolicy) -> bool:
    """Whether a view lies to where it lay before: a camera that the wind shakes lies to no side for long."""
    if before is None or now is None:
        return True
    slack = max(policy.moved_share, _SIDE * float(np.hypot(*before)))
    return float(np.hypot(before[0] - now[0], before[1] - now[1])) <= slack


def _mean_shift(before: tuple[float, float] | None, now: tuple[float, float] | None) -> tuple[float, float] | None:
    """A running mean, so that a camera that sways a little where it went now is not taken for one in the wind."""
    if before is None or now is None:
        return before or now
    share = _SHIFT_SHARE
    return (round(before[0] + share * (now[0] - before[0]), 5), round(before[1] + share * (now[1] - before[1]), 5))


def _decide(memory: HealthMemory, says: _Says, evidence: HealthEvidence, at_ms: int, policy: HealthPolicy) -> Judged:
    """Whether the evidence is enough."""
    doubt, view = memory.doubt, memory.view
    assert view is not None
    if doubt is not None:
        lasted_ms = at_ms - doubt.since_ms
        enough_ms = getattr(policy, f"{doubt.state.value}_ms")
        if doubt.last_ms == at_ms and lasted_ms >= enough_ms:
            if doubt.against_ms > policy.against * lasted_ms:  # lorry after lorry
                return Judged(msgspec.structs.replace(memory, doubt=None))
            return _changed(memory, doubt.state, doubt.since_ms, evidence)
    if memory.well_ms is not None and at_ms - memory.well_ms >= policy.well_ms:
        return _changed(memory, HealthState.OK, memory.well_ms, evidence)
    if memory.state is None and says is _Says.OK and doubt is None and view.watched_ms >= policy.learn_ms:
        return _changed(memory, HealthState.OK, at_ms, evidence)
    return Judged(memory)


def _changed(memory: HealthMemory, state: HealthState, since_ms: int, evidence: HealthEvidence) -> Judged:
    memory = msgspec.structs.replace(
        memory, state=state, since_ms=since_ms, doubt=None, well_ms=None, back_ms=None, coming=None
    )
    return Judged(memory, since_ms, evidence)


# --- gradients ----------------------------------------------------------------------------------


def _field(thumb: bytes) -> _Field:
    """The gradient of each inner cell, across + i down, its length g as g / (g + _SOFT)."""
    cells = np.frombuffer(thumb, np.uint8).reshape(THUMB.height, THUMB.width).astype(np.float64)
    gradient = (cells[1:-1, 2:] - cells[1:-1, :-2]) / 2 + 0.5j * (cells[2:, 1:-1] - cells[:-2, 1:-1])
    field: _Field = (gradient / (np.abs(gradient) + _SOFT)).astype(np.complex128)
    return field


def _first(number: int, field: _Field, health: Health, revision: int | None) -> View:
    across, down = _packed(np.rint(field.real * _SCALE)), _packed(np.rint(field.imag * _SCALE))
    return View(number, across, down, health.sharpness, health.contrast, 0, revision)


def _followed(view: View, field: _Field, health: Health, passed_ms: int) -> View:
    """The view, a step nearer to what is seen."""
    step = next((step for younger_ms, step in _STEPS if view.watched_ms < younger_ms), 1)
    share = min(1.0, passed_ms / _SETTLE_MS)
    reference = _reference(view)

    def walked(known: NDArray[np.float64], seen: NDArray[np.float64]) -> bytes:
        known, seen = np.rint(known * _SCALE), np.rint(seen * _SCALE)
        return _packed(known + np.clip(seen - known, -step, step))

    return msgspec.structs.replace(
        view,
        across=walked(reference.real, field.real),
        down=walked(reference.imag, field.imag),
        sharpness=round(view.sharpness + share * (health.sharpness - view.sharpness), 3),
        contrast=round(view.contrast + share * (health.contrast - view.contrast), 3),
        watched_ms=min(view.watched_ms + passed_ms, _STEPS[-1][0]),
    )


def _packed(values: NDArray[np.float64]) -> bytes:
    return values.astype(np.int8).tobytes()


def _reference(view: View) -> _Field:
    across, down = (np.frombuffer(part, np.int8).astype(np.float64) for part in (view.across, view.down))
    field: _Field = ((across + 1j * down) / _SCALE).reshape(THUMB.height - 2, THUMB.width - 2).astype(np.complex128)
    return field


def _agreement(reference: _Field, field: _Field) -> float | None:
    """How far the edges of the reference are there, and lie as they did: 1 all, 0 as if by chance, below: inverted."""
    strong = np.abs(reference) > _STRONG
    if int(strong.sum()) < _LEAST_STRONG:
        return None
    common = float((np.abs(reference) * np.abs(field))[strong].sum())
    return float((np.conj(reference) * field).real[strong].sum()) / max(common, 1e-9)


def _covered(reference: _Field, field: _Field, below: float) -> float | None:
    """Of the parts of the picture that have edges in the reference, the share without any now."""
    strong = np.abs(reference) > _STRONG
    across, down = _TILES
    height, width = reference.shape
    x, y = np.arange(across) * width // across, np.arange(down) * height // down

    def sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
        out: NDArray[np.float64] = np.add.reduceat(np.add.reduceat(values, y, axis=0), x, axis=1)
        return out

    telling = sums(strong.astype(np.float64)) >= _LEAST_IN_TILE
    if not telling.any():
        return None
    lost = sums(np.abs(field) * strong) < below * sums(np.abs(reference) * strong)
    return round(float((lost & telling).sum() / telling.sum()), 3)


class _Fit(NamedTuple):
    """Where a view went."""

    shift_x: float  # shares of the picture
    shift_y: float
    turn_degrees: float
    zoom: float
    displaced: float  # mean over the picture, in shares of its width


def _fit(reference: _Field, field: _Field, aspect: float, agree: float) -> _Fit | None:
    """Find the reference in a picture: whole cells by correlation, the rest, turn and zoom by least squares.

    Returns:
        None where no shift makes the two agree.
    """
    in_place = _agreement(reference, field)
    found = (0, 0, in_place) if in_place is not None and in_place >= _IN_PLACE else _whole_shift(reference, field)
    if found is None or found[2] < agree:
        return None
    across, down, _ = found
    height, width = reference.shape
    shape = (height - abs(down), width - abs(across))
    then = reference[max(0, -down) :, max(0, -across) :][: shape[0], : shape[1]]
    now = field[max(0, down) :, max(0, across) :][: shape[0], : shape[1]]
    # Coordinates of the cells as they are now, from the middle, in heights of the picture.
    unit_x, unit_y = aspect / THUMB.width, 1 / THUMB.height
    x = (np.arange(shape[1]) + max(0, across) - (width - 1) / 2) * unit_x
    y = (np.arange(shape[0]) + max(0, down) - (height - 1) / 2) * unit_y
    dx, dy, zoom, turn = _rest(then, now, x, y, (unit_x, unit_y))
    dx, dy = dx + across * unit_x, dy + down * unit_y
    all_x = np.linspace(-aspect / 2, aspect / 2, 9)
    all_y = np.linspace(-0.5, 0.5, 5)[:, None]
    displaced = np.hypot(dx + zoom * all_x - turn * all_y, dy + zoom * all_y + turn * all_x)
    return _Fit(dx / aspect, dy, float(np.degrees(turn)), 1 + zoom, round(float(displaced.mean()) / aspect, 5))


def _whole_shift(reference: _Field, field: _Field) -> tuple[int, int, float] | None:
    """(cells across, cells down, agreement) of the shift by which most edges agree."""
    strong: _Field = reference * (np.abs(reference) > _STRONG)
    height, width = reference.shape
    size = (2 * height, 2 * width)

    def correlation(a: _Field, b: _Field) -> NDArray[np.float64]:
        both: NDArray[np.float64] = np.fft.ifft2(np.conj(np.fft.fft2(a, size)) * np.fft.fft2(b, size)).real
        far_y, far_x = height // 2, width // 2
        rows, columns = np.arange(-far_y, far_y + 1), np.arange(-far_x, far_x + 1)
        out: NDArray[np.float64] = both[np.ix_(rows % size[0], columns % size[1])]
        return out

    common = correlation(np.abs(strong).astype(np.complex128), np.abs(field).astype(np.complex128))
    agreeing = correlation(strong, field)
    there = common >= max(_LEAST_OVERLAP * float(common[height // 2, width // 2]), 1e-6)
    if not there.any():
        return None
    best = int(np.argmax(np.where(there, agreeing, -np.inf)))
    row, column = divmod(best, common.shape[1])
    return column - width // 2, row - height // 2, float(agreeing[row, column] / common[row, column])


def _rest(
    then: _Field, now: _Field, x: NDArray[np.float64], y: NDArray[np.float64], unit: tuple[float, float]
) -> tuple[float, float, float, float]:
    """(shift across, down, zoom - 1, turn) of less than a cell between two fields, in the units of x and y."""
    then, now = _smooth(then), _smooth(now)
    mean = (then + now) / 2
    inner = (slice(1, -1), slice(1, -1))
    per_x = (mean[1:-1, 2:] - mean[1:-1, :-2]) / (2 * unit[0])
    per_y = (mean[2:, 1:-1] - mean[:-2, 1:-1]) / (2 * unit[1])
    across, along = np.meshgrid(x[1:-1], y[1:-1])
    columns = (per_x, per_y, per_x * across + per_y * along, per_y * across - per_x * along)
    left = np.stack([np.concatenate([c.real.ravel(), c.imag.ravel()]) for c in columns])
    change = (then - now)[inner]
    right = np.concatenate([change.real.ravel(), change.imag.ravel()])
    weight = np.ones(len(right))
    answer = np.zeros(4)
    for _ in range(_ROUNDS):
        weighted = (
            left * weight
        )  # sums, not products of matrices: those are shared out among threads, which rounds anew
        normal = np.array([[float((a * b).sum()) for b in left] for a in weighted])
        answer = np.linalg.solve(normal + 1e-6 * np.eye(4), (weighted * right).sum(axis=1))
        off = np.abs(right - (left * answer[:, None]).sum(axis=0))
        weight = 1 / (1 + (off / max(float(np.median(off)), 1e-3)) ** 2)
    dx, dy, zoom, turn = (float(v) for v in answer)
    return dx, dy, zoom, turn


def _smooth(field: _Field) -> _Field:
    """Means of 3 by 3 cells; the outermost are left as they are."""
    out = field.copy()
    out[1:-1, 1:-1] = (
        sum(
            field[1 + i : field.shape[0] - 1 + i, 1 + j : field.shape[1] - 1 + j]
            for i in (-1, 0, 1)
            for j in (-1, 0, 1)
        )
        / 9
    )
    return out


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
