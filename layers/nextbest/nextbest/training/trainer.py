"""Training: the events of a program in, one model out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nextbest.programs import Program
from nextbest.scoring.calibration import activity_of
from nextbest.scoring.kernels import DAY_SECONDS, Kernel
from nextbest.scoring.model import Influence, Mode, Model, Term
from nextbest.training.calibrate import Pairs, fit_calibration, pairs_of, reliability
from nextbest.training.priors import recent_popularity
from nextbest.training.ridge import gram, inverse, strongest, transition_ridge
from nextbest.training.table import Columns, EventTable, Moments, inputs_of
from nextbest.training.transitions import targets_of, transitions_of, without_seen

INFLUENCES_PER_ACTION = 64
_CALIBRATION_CELLS = 8_000_000


@dataclass(frozen=True, slots=True)
class Settings:
    """What one mode is built from."""

    kernel: Kernel = field(default_factory=lambda: Kernel("rank", "power", 1.0, damping=1.0, share=1.0))
    ridge: float = 1.0
    prior_half_life_days: float = 30.0
    prior_weight: float = 0.02
    self_weight: float = 0.1


def train(
    events: Columns,
    *,
    program: Program,
    now: float,
    seed: int,
    values: Mapping[str, float] | None = None,
    time_budget_seconds: float = 240.0,
) -> Model:
    """Learn a model of ``program`` from ``events`` (columns user_id, event_type, asset_id, timestamp in seconds).

    ``now`` (seconds) is the time to learn for: later events are left out. ``values`` by asset id turn the ranking
    into expected value. Deterministic for a ``seed``. Raises InvalidInput for events that are not of that shape.
    """
    table = EventTable.of(events, now)
    random = np.random.default_rng(seed)
    modes = {}
    report: dict[str, Any] = {"events": len(table.time), "users": table.user_count, "actions": len(table.actions)}
    for name, allow_repeats in (("repeats", True), ("discoveries", False)):
        modes[name], report[name] = _train_mode(table, program, now, allow_repeats, random)
    report["time_budget_seconds"] = time_budget_seconds
    asset_values = None
    if values is not None:
        asset_values = np.array([values.get(action.asset_id, 1.0) for action in table.actions])
    return Model(
        actions=table.actions,
        repeats=modes["repeats"],
        discoveries=modes["discoveries"],
        half_life_days=float(program.half_life_days),
        horizon_days=float(program.horizon_days),
        action_weight_floor=program.action_weight_floor,
        trained_at=now,
        report=report,
        values=asset_values,
    )


def _train_mode(
    table: EventTable, program: Program, now: float, allow_repeats: bool, random: np.random.Generator
) -> tuple[Mode, dict[str, Any]]:
    settings = Settings()
    cut = now - program.horizon_days * DAY_SECONDS
    past = table.before(cut)
    draft = _fit_mode(past, settings, cut, program, allow_repeats)
    pairs = _held_out_pairs(table, draft, cut, now, program, allow_repeats, random)
    calibration = fit_calibration(pairs)
    final = replace(_fit_mode(table, settings, now, program, allow_repeats), calibration=calibration)
    growth = calibration.growth(pairs.score[:, None], pairs.activity)[:, 0]
    return final, {"calibration": reliability(growth, pairs.taken, pairs.weight)}


def _fit_mode(table: EventTable, settings: Settings, now: float, program: Program, allow_repeats: bool) -> Mode:
    prior = recent_popularity(table, now, settings.prior_half_life_days) * settings.prior_weight
    size = len(table.actions)
    terms = []
    self_weights = np.full(size, settings.self_weight, np.float32) if allow_repeats else None
    influence = None
    transitions = transitions_of(table, horizon_days=program.horizon_days, moments_per_user=20, targets_per_moment=10)
    if len(transitions.moments):
        x = inputs_of(table, transitions.moments, settings.kernel)
        targets = transitions.targets if allow_repeats else without_seen(transitions.targets, x)
        weights = transition_ridge(inverse(gram(x), settings.ridge), x, targets)
        influence = pack_influence(strongest(weights, INFLUENCES_PER_ACTION))
    if influence is not None or self_weights is not None:
        terms.append(Term("transitions", settings.kernel, self_weights, influence))
    return Mode(prior.astype(np.float32), tuple(terms), fit_calibration(_NO_PAIRS))


_NO_PAIRS = Pairs(np.zeros(0), np.zeros(0, np.bool_), np.zeros((0, 3)), np.zeros(0))


def pack_influence(weights: sparse.csr_array) -> Influence:
    """A sparse matrix as the model keeps it: float16 over the largest, columns as narrow as the catalogue allows."""
    largest = float(np.abs(weights.data).max()) if weights.nnz else 1.0
    narrow = np.uint16 if weights.shape[1] <= np.iinfo(np.uint16).max else np.uint32
    return Influence(
        weights.indptr.astype(np.int64),
        weights.indices.astype(narrow),
        (weights.data / largest).astype(np.float16),
        largest,
    )


def _held_out_pairs(
    table: EventTable,
    mode: Mode,
    cut: float,
    now: float,
    program: Program,
    allow_repeats: bool,
    random: np.random.Generator,
) -> Pairs:
    """Pairs of users known at ``cut`` and all actions, with what was taken from ``cut`` to ``now``."""
    ends = table.ends_before(cut)
    users = np.flatnonzero(ends > table.starts[:-1])
    size = len(table.actions)
    limit = max(1, _CALIBRATION_CELLS // max(size, 1))
    if len(users) > limit:
        users = np.sort(random.choice(users, limit, replace=False))
    parts = [_NO_PAIRS]
    for begin in range(0, len(users), 256):
        chunk = users[begin : begin + 256]
        moments = Moments.at(table, chunk, cut)
        taken = targets_of(table, moments.ends, table.ends_before(now + 1.0)[chunk]).toarray() > 0
        seen = inputs_of(table, moments, Kernel()).toarray() > 0
        possible = np.ones_like(seen) if allow_repeats else ~seen
        scores = score_matrix(mode, table, moments)
        activity = np.array(
            [
                activity_of(table.time[table.starts[user] : end], cut, program.horizon_days)
                for user, end in zip(chunk.tolist(), moments.ends.tolist(), strict=True)
            ]
        )
        parts.append(pairs_of(scores, taken, possible, activity, random))
    return Pairs.join(parts)


def score_matrix(mode: Mode, table: EventTable, moments: Moments) -> NDArray[np.float64]:
    """Scores of all actions at ``moments``, shape (rows, actions): what ``recommend`` computes one by one."""
    scores = np.tile(mode.prior.astype(np.float64), (len(moments), 1))
    for term in mode.terms:
        x = inputs_of(table, moments, term.kernel)
        if term.self_weights is not None:
            scores += (x * term.self_weights[None, :]).toarray()
        if term.influence is not None:
            scores += (x @ unpack_influence(term.influence)).toarray()
    return scores


def unpack_influence(influence: Influence) -> sparse.csr_array:
    """Inverse of ``pack_influence``, but for rounding."""
    size = len(influence.starts) - 1
    data = influence.weights.astype(np.float32) * np.float32(influence.scale)
    return sparse.csr_array((data, influence.columns.astype(np.int64), influence.starts), shape=(size, size))
