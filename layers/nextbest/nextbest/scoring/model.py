"""The model: what a rebase learns for a program, as one immutable value.

    score_i(user) = prior_i + Σ_terms Σ_j x_j^(term) · (self_j · [i = j] + W_ji)

There are two modes, tuned and calibrated separately: repeats for what the user did, discoveries for everything else.
Each has its own prior, terms and calibration. Which of them scores an action depends on the user's history alone, never
on the request (``nextbest.scoring.score``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from nextbest.domain.actions import Action, DistinctActions
from nextbest.domain.events import MICROSECONDS
from nextbest.domain.history import History
from nextbest.domain.programs import (
    EventTypeOrder,
    GoalEventType,
    ListCap,
    Program,
    RestRule,
    event_type_order,
    list_caps,
    rest_rules,
)
from nextbest.scoring import artifact
from nextbest.scoring.calibration import ACTIVITY_NAMES, Calibration
from nextbest.scoring.kernels import Kernel, moment_of
from nextbest.scoring.unknown import Pooled

if TYPE_CHECKING:
    from nextbest.scoring.goal_effects import GoalEffects


@dataclass(frozen=True, slots=True)
class Influence:
    """Sparse weights from what a user did (rows, j) to what comes next (columns, i).

    Compressed rows: the entries of row j are ``columns[starts[j]:starts[j + 1]]`` (uint16 or uint32) with
    ``weights`` (float16 or float32) times ``scale``. ``starts`` is int64 of shape (actions + 1,).
    """

    starts: NDArray[np.int64]
    columns: NDArray[np.unsignedinteger[Any]]
    weights: NDArray[np.floating[Any]]
    scale: float


@dataclass(frozen=True, slots=True)
class RepeatTiming:
    """A factor on a term's own-action weight by the time since last, against the action's typical gap.

    ``gap_days`` (actions,) is each action's typical gap, shrunk to the program's. ``factors`` are read at
    ``log2(days since last / gap)``, between the points of ``log2_ratios``.
    """

    gap_days: NDArray[np.float32]
    log2_ratios: NDArray[np.float64]
    factors: NDArray[np.float64]

    def factors_of(
        self, gap_days: NDArray[np.floating[Any]] | float, since_days: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """The factors of actions with typical gaps of ``gap_days`` by their times since last, shape (n,)."""
        ratios = np.log2(np.maximum(since_days, 1e-3) / gap_days)
        factors: NDArray[np.float64] = np.interp(ratios, self.log2_ratios, self.factors)
        return factors


@dataclass(frozen=True, slots=True)
class Term:
    """One additive part of the score: an input kernel, the weight of the action itself, and influences on others.

    ``self_weights`` has shape (actions,) or is None; ``influence`` is None for a term about repeats alone.
    ``mean_input`` (actions,) is the mean over all users, timed where there is a timing; None in models of before.
    """

    name: str
    kernel: Kernel
    self_weights: NDArray[np.float32] | None = None
    influence: Influence | None = None
    timing: RepeatTiming | None = None
    pooled: Pooled | None = None
    mean_input: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Mode:
    """Everything to score with in one mode: ``prior`` has shape (actions,). ``pooled_prior`` (event types + 1,) is that
    of actions that the model does not know, or None where they are left out."""

    prior: NDArray[np.float32]
    terms: tuple[Term, ...]
    calibration: Calibration
    pooled_prior: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Model:
    """A trained model. Read-only and safe to share between threads.

    ``actions`` has the order of all arrays. ``values`` (actions,) turn the ranking into expected value, or None.
    ``report`` describes the training, JSON-able. ``last_event_at`` is the time of the newest event that was learned
    from, infinite where that does not matter. ``never_recommended``, ``done_once``, ``event_type_order``,
    ``rest_rules`` and ``most_per_list`` are the program's settings of these names. ``leads_to_first`` (actions,) marks
    the actions that may lead to something with their asset that nobody ever did; None in artifacts before version 3.
    ``goal_effects`` are there where the program had a goal. ``base_rates`` (actions,) say how many of all users took
    each action within the last horizon, and are no part of the scores (``nextbest.scoring.popular``); None in artifacts
    of before.
    """

    actions: Sequence[Action]
    repeats: Mode
    discoveries: Mode
    half_life_days: float
    horizon_days: float
    action_weight_floor: float
    trained_at: float
    report: Mapping[str, Any] = field(default_factory=dict)
    values: NDArray[np.float64] | None = None
    last_event_at: float = math.inf
    never_recommended: tuple[str, ...] = ()
    done_once: tuple[str, ...] = ()
    event_type_order: tuple[EventTypeOrder, ...] = ()
    leads_to_first: NDArray[np.bool_] | None = None
    goal_effects: GoalEffects | None = None
    rest_rules: tuple[RestRule, ...] = ()
    most_per_list: tuple[ListCap, ...] = ()
    base_rates: NDArray[np.float32] | None = None

    @property
    def withholds_by_history(self) -> bool:
        """Whether a setting keeps actions from some users, by what they did."""
        return bool(self.done_once or self.event_type_order or self.rest_rules)

    @cached_property
    def withheld(self) -> NDArray[np.int64]:
        """Places of the actions whose event type is never recommended."""
        return self.places_of(self.never_recommended)

    @cached_property
    def is_done_once(self) -> NDArray[np.bool_]:
        """Which actions are of an event type that is done once with an asset, shape (actions,)."""
        once = np.zeros(len(self.actions), np.bool_)
        once[self.places_of(self.done_once)] = True
        return once

    def places_of(self, event_types: Iterable[str]) -> NDArray[np.int64]:
        """Places of the actions of these event types."""
        types = sorted(set(event_types))
        if not types:
            return np.zeros(0, np.int64)
        nothing = np.zeros(0, np.int64)
        return np.concatenate([self._places_of_type.get(event_type, nothing) for event_type in types])

    @cached_property
    def _places_of_type(self) -> dict[str, NDArray[np.int64]]:
        places: dict[str, list[int]] = {}
        for place, (event_type, _) in enumerate(self.actions):
            places.setdefault(event_type, []).append(place)
        return {event_type: np.array(of_type, np.int64) for event_type, of_type in places.items()}

    @cached_property
    def places_by_type(self) -> dict[str, dict[str, int]]:
        """The index of each action, by its event type and asset. Two small steps: pairs take twice as long to find."""
        places: dict[str, dict[str, int]] = {}
        for index, (event_type, asset_id) in enumerate(self.actions):
            places.setdefault(event_type, {})[asset_id] = index
        return places

    def place_of(self, action: tuple[str, str]) -> int | None:
        """The index of an action; None for one that the model does not know."""
        event_type, asset_id = action
        of_type = self.places_by_type.get(event_type)
        return of_type.get(asset_id) if of_type is not None else None

    def indices_of(self, actions: DistinctActions) -> NDArray[np.int64]:
        """The index of each of a history's actions, -1 for one that the model does not know; shape (actions,)."""
        places, none = self.places_by_type, dict[str, int]()
        of_types = (
            map(places.get(event_type, none).get, asset_ids, repeat(-1))
            for event_type, asset_ids in actions.assets.items()
        )
        return np.fromiter(chain.from_iterable(of_types), np.int64, len(actions))

    @cached_property
    def type_index(self) -> dict[str, int]:
        """Number of each event type, in the order of their names."""
        return {name: index for index, name in enumerate(sorted({event_type for event_type, _ in self.actions}))}

    @property
    def scores_unknown(self) -> bool:
        """Whether actions that the model does not know compete: not in artifacts of version 1."""
        return self.repeats.pooled_prior is not None

    @cached_property
    def types_after(self) -> list[list[tuple[str, int]]]:
        """For each event type what doing it leads to with the same asset, in any mode: names and numbers."""
        names = list(self.type_index)
        leads = np.zeros((len(names), len(names)), np.bool_)
        for term in (*self.repeats.terms, *self.discoveries.terms):
            if term.pooled is not None and term.pooled.same_asset.size:
                leads |= term.pooled.same_asset != 0.0
        return [[(names[column], column) for column in np.flatnonzero(row).tolist()] for row in leads]

    @cached_property
    def tie_breaks(self) -> NDArray[np.float64]:
        """A number drawn from each action's name: the highest comes first among equal scores, whatever the order of the
        actions."""
        return np.fromiter(map(tie_break, self.actions), np.float64, len(self.actions))

    def moment(self, history: History, now: float) -> float:
        """The time to score a user at: ``now``, unless neither the program nor the user did anything for long."""
        last_us = history.timestamps_us[-1:].tolist()
        return moment_of(now, max([self.last_event_at, *(time / MICROSECONDS for time in last_us)]))

    def with_settings(
        self,
        *,
        half_life_days: float,
        action_weight_floor: float,
        never_recommended: tuple[str, ...] = (),
        done_once: tuple[str, ...] = (),
        event_type_order: tuple[EventTypeOrder, ...] = (),
        rest_rules: tuple[RestRule, ...] = (),
        most_per_list: tuple[ListCap, ...] = (),
    ) -> Model:
        """The same model under settings of the program that were changed after it was trained.

        They concern the response, not what was learned: the half-life of base weights, the floor, and which actions are
        candidates, and how many of them are listed.
        """
        settings = (half_life_days, action_weight_floor, never_recommended, done_once, event_type_order)
        own = (self.half_life_days, self.action_weight_floor, self.never_recommended)
        own_policy = (self.rest_rules, self.most_per_list)
        if (*own, self.done_once, self.event_type_order, *own_policy) == (*settings, rest_rules, most_per_list):
            return self
        return replace(
            self,
            half_life_days=half_life_days,
            action_weight_floor=action_weight_floor,
            never_recommended=never_recommended,
            done_once=done_once,
            event_type_order=event_type_order,
            rest_rules=rest_rules,
            most_per_list=most_per_list,
        )

    def under(self, program: Program) -> Model:
        """The same model under the present settings of its program."""
        return self.with_settings(
            half_life_days=float(program.half_life_days),
            action_weight_floor=program.action_weight_floor,
            never_recommended=program.never_recommended,
            done_once=program.done_once,
            event_type_order=program.event_type_order,
            rest_rules=program.rest_rules,
            most_per_list=program.most_per_list,
        )

    def to_bytes(self) -> bytes:
        """The artifact (layout: ``nextbest.scoring.artifact``)."""
        return artifact.encode(*_dismantle(self))

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview) -> Model:
        """Inverse of ``to_bytes``; arrays are views of ``data``. Raises ArtifactError."""
        return artifact.read(lambda: _assemble(*artifact.decode(data)))

    def save(self, path: str | Path) -> None:
        """Write the artifact to ``path``."""
        Path(path).write_bytes(self.to_bytes())

    @classmethod
    def load(cls, path: str | Path) -> Model:
        """Read the artifact at ``path``. Raises ArtifactError, and OSError when it cannot be read at all."""
        return cls.from_bytes(Path(path).read_bytes())


def tie_break(action: tuple[str, str]) -> float:
    """The number that an action's name draws (``Model.tie_breaks``)."""
    return -float(crc32(f"{action[0]}\0{action[1]}".encode()))


Arrays = dict[str, NDArray[Any]]


def _dismantle(model: Model) -> tuple[dict[str, Any], Arrays]:
    """The model as a JSON-able header and named arrays."""
    arrays: Arrays = {}
    types = sorted({action.event_type for action in model.actions})
    type_index = {event_type: index for index, event_type in enumerate(types)}
    arrays["event_type"] = np.fromiter((type_index[a.event_type] for a in model.actions), np.uint32, len(model.actions))
    arrays["asset_ids"] = artifact.pack_names([action.asset_id for action in model.actions])
    if model.values is not None:
        arrays["values"] = model.values
    if model.leads_to_first is not None:
        arrays["leads_to_first"] = model.leads_to_first.astype(np.uint8)
    if model.base_rates is not None:
        arrays["base_rates"] = model.base_rates
    goal = []
    if model.goal_effects is not None:
        arrays.update(model.goal_effects.to_arrays())
        goal = [list(entry) for entry in model.goal_effects.goal]
    header = {
        "event_types": types,
        "half_life_days": model.half_life_days,
        "horizon_days": model.horizon_days,
        "action_weight_floor": model.action_weight_floor,
        "trained_at": model.trained_at,
        "last_event_at": model.last_event_at if math.isfinite(model.last_event_at) else None,
        "never_recommended": list(model.never_recommended),
        "done_once": list(model.done_once),
        "event_type_order": [[event_type, list(after)] for event_type, after in model.event_type_order],
        **({"goal": goal} if goal else {}),
        **({"rest_rules": [list(rule) for rule in model.rest_rules]} if model.rest_rules else {}),
        **({"most_per_list": [list(cap) for cap in model.most_per_list]} if model.most_per_list else {}),
        "report": dict(model.report),
        "modes": {
            name: _dismantle_mode(name, mode, arrays)
            for name, mode in (("repeats", model.repeats), ("discoveries", model.discoveries))
        },
    }
    return header, arrays


def _dismantle_mode(name: str, mode: Mode, arrays: Arrays) -> dict[str, Any]:
    arrays[f"{name}.prior"] = mode.prior
    if mode.pooled_prior is not None:
        arrays[f"{name}.pooled_prior"] = mode.pooled_prior
    terms: list[dict[str, Any]] = []
    for number, term in enumerate(mode.terms):
        key = f"{name}.{number}"
        entry: dict[str, Any] = {"name": term.name, "kernel": term.kernel.to_json()}
        if term.self_weights is not None:
            arrays[f"{key}.self"] = term.self_weights
        if term.influence is not None:
            entry["scale"] = term.influence.scale
            arrays[f"{key}.starts"] = term.influence.starts
            arrays[f"{key}.columns"] = term.influence.columns
            arrays[f"{key}.weights"] = term.influence.weights
        if term.timing is not None:
            arrays[f"{key}.gap_days"] = term.timing.gap_days
            arrays[f"{key}.log2_ratios"] = term.timing.log2_ratios
            arrays[f"{key}.factors"] = term.timing.factors
        if term.mean_input is not None:
            arrays[f"{key}.mean_input"] = term.mean_input
        if term.pooled is not None:
            entry["pooled_gap_days"] = term.pooled.gap_days
            arrays[f"{key}.pooled_own"] = term.pooled.own
            arrays[f"{key}.pooled_same_asset"] = term.pooled.same_asset
            if term.pooled.first_time is not None:
                arrays[f"{key}.pooled_first_time"] = term.pooled.first_time
        terms.append(entry)
    return {"terms": terms, **_dismantle_calibration(name, mode.calibration, arrays)}


def _dismantle_calibration(name: str, calibration: Calibration, arrays: Arrays) -> dict[str, Any]:
    arrays[f"{name}.knots"] = calibration.knots
    arrays[f"{name}.levels"] = calibration.levels
    arrays[f"{name}.coefficients"] = calibration.coefficients
    arrays[f"{name}.tilted_knots"] = calibration.tilted_knots
    arrays[f"{name}.logits"] = calibration.logits
    if calibration.activity_range is not None:
        arrays[f"{name}.activity_range"] = calibration.activity_range
    entry: dict[str, Any] = {"slope": calibration.slope, "intercept": calibration.intercept}
    if calibration.after_event is not None:
        entry["after_event"] = _dismantle_calibration(f"{name}.after_event", calibration.after_event, arrays)
    return entry


def _assemble(header: dict[str, Any], arrays: Arrays) -> Model:
    types = artifact.text_list(header["event_types"])
    assets = artifact.unpack_names(arrays["asset_ids"])
    count = len(assets)
    event_types = artifact.vector(arrays, "event_type", "u", count).tolist()
    pairs = zip([types[index] for index in event_types], assets, strict=True)
    actions = list(map(partial(tuple.__new__, Action), pairs))  # half the time of Action(...), at every load
    return Model(
        actions=actions,
        repeats=_assemble_mode("repeats", header["modes"]["repeats"], arrays, count, len(types)),
        discoveries=_assemble_mode("discoveries", header["modes"]["discoveries"], arrays, count, len(types)),
        half_life_days=_above_zero(header["half_life_days"]),
        horizon_days=_above_zero(header["horizon_days"]),
        action_weight_floor=artifact.finite(header["action_weight_floor"]),
        trained_at=artifact.finite(header["trained_at"]),
        report=artifact.json_object(header["report"]),
        values=artifact.vector(arrays, "values", "f", count) if "values" in arrays else None,
        last_event_at=math.inf if header.get("last_event_at") is None else artifact.finite(header["last_event_at"]),
        never_recommended=tuple(map(str, header.get("never_recommended", ()))),
        leads_to_first=_marks(arrays, "leads_to_first", count),
        done_once=tuple(map(str, header.get("done_once", ()))),
        event_type_order=event_type_order(
            (str(event_type), artifact.text_list(after)) for event_type, after in header.get("event_type_order", ())
        ),
        goal_effects=_assemble_goal(header["goal"], arrays, count) if "goal" in header else None,
        rest_rules=rest_rules(header.get("rest_rules", ())),
        most_per_list=list_caps(header.get("most_per_list", ())),
        base_rates=artifact.vector(arrays, "base_rates", "f", count) if "base_rates" in arrays else None,
    )


def _assemble_goal(entries: Any, arrays: Arrays, count: int) -> GoalEffects:
    # Imported here: few programs have a goal.
    from nextbest.scoring.goal_effects import GoalEffects

    goal = tuple(GoalEventType(str(event_type), _above_zero(value)) for event_type, value in entries)
    return GoalEffects.from_arrays(goal, arrays, count)


def _marks(arrays: Arrays, name: str, count: int) -> NDArray[np.bool_] | None:
    return artifact.vector(arrays, name, "u", count).astype(np.bool_) if name in arrays else None


def _assemble_mode(name: str, entry: dict[str, Any], arrays: Arrays, count: int, type_count: int) -> Mode:
    terms = tuple(
        _assemble_term(f"{name}.{number}", term, arrays, count, type_count)
        for number, term in enumerate(entry["terms"])
    )
    pooled_prior = None
    if f"{name}.pooled_prior" in arrays:
        pooled_prior = artifact.vector(arrays, f"{name}.pooled_prior", "f", type_count + 1)
    calibration = _assemble_calibration(name, entry, arrays)
    if "after_event" in entry:
        after_event = _assemble_calibration(f"{name}.after_event", entry["after_event"], arrays)
        calibration = replace(calibration, after_event=after_event)
    return Mode(artifact.vector(arrays, f"{name}.prior", "f", count), terms, calibration, pooled_prior)


def _assemble_calibration(name: str, entry: dict[str, Any], arrays: Arrays) -> Calibration:
    activity_range = None
    if f"{name}.activity_range" in arrays:
        activity_range = artifact.matrix(arrays, f"{name}.activity_range", "f", (2, len(ACTIVITY_NAMES)))
    knots, levels = _curve(arrays, f"{name}.knots", f"{name}.levels")
    tilted_knots, logits = _curve(arrays, f"{name}.tilted_knots", f"{name}.logits")
    return Calibration(
        knots,
        levels,
        artifact.finite(entry["slope"]),
        artifact.vector(arrays, f"{name}.coefficients", "f", len(ACTIVITY_NAMES)),
        artifact.finite(entry["intercept"]),
        tilted_knots,
        logits,
        activity_range,
    )


def _assemble_term(key: str, entry: dict[str, Any], arrays: Arrays, count: int, type_count: int) -> Term:
    self_weights = artifact.vector(arrays, f"{key}.self", "f", count) if f"{key}.self" in arrays else None
    influence = timing = pooled = None
    if f"{key}.starts" in arrays:
        starts = artifact.vector(arrays, f"{key}.starts", "i", count + 1)
        weights = artifact.vector(arrays, f"{key}.weights", "f", int(starts[-1]))
        columns = artifact.vector(arrays, f"{key}.columns", "u", int(starts[-1]))
        artifact.check_runs(starts, columns, count)
        influence = Influence(starts, columns, weights, artifact.finite(entry["scale"]))
    if f"{key}.gap_days" in arrays:
        gap_days = artifact.vector(arrays, f"{key}.gap_days", "f", count)
        timing = RepeatTiming(gap_days, *_curve(arrays, f"{key}.log2_ratios", f"{key}.factors"))
    if f"{key}.pooled_own" in arrays:
        own = artifact.vector(arrays, f"{key}.pooled_own", "f", type_count + 1)
        side = type_count if arrays[f"{key}.pooled_same_asset"].size else 0
        same_asset = artifact.matrix(arrays, f"{key}.pooled_same_asset", "f", (side, side))
        first_time = None
        if f"{key}.pooled_first_time" in arrays:
            first_time = artifact.matrix(arrays, f"{key}.pooled_first_time", "f", (side, side))
        pooled = Pooled(own, same_asset, _above_zero(entry["pooled_gap_days"]), first_time)
    mean_input = artifact.vector(arrays, f"{key}.mean_input", "f", count) if f"{key}.mean_input" in arrays else None
    return Term(str(entry["name"]), _kernel(entry["kernel"]), self_weights, influence, timing, pooled, mean_input)


def _kernel(entry: dict[str, Any]) -> Kernel:
    kernel = Kernel(**entry)
    if kernel.clock not in ("time", "rank") or kernel.shape not in ("exponential", "power"):
        raise ValueError("a kernel has another clock or shape than there are")
    _above_zero(kernel.scale)
    artifact.finite(kernel.damping)
    artifact.finite(kernel.share)
    return kernel


def _curve(arrays: Arrays, points: str, values: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Points and the values there, as many of each."""
    at = artifact.vector(arrays, points, "f")
    return at, artifact.vector(arrays, values, "f", at.shape[0])


def _above_zero(value: Any) -> float:
    if artifact.finite(value) <= 0:
        raise ValueError("a number above zero was expected")
    return float(value)
