"""The report of a program's decisions: growth weights against what came true, and a model that never served
(docs/decisions-log.md).

Computed in the background, since it reads the decisions of many days and the whole event log; kept as one file, which
is read until there is a newer one. The same decisions, events and ``now`` make the same report.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import numpy as np

from nextbest.domain.decisions import DecidedAction, Decision, user_hash
from nextbest.domain.events import DAY_SECONDS, MICROSECONDS
from nextbest.domain.experiments import HOLDOUT_VARIANT
from nextbest.domain.history import History
from nextbest.domain.programs import Incarnation, Program
from nextbest.lift.attribution import attribute
from nextbest.lift.calibration import WeekAgreement, agreement_of_decisions
from nextbest.lift.columns import ColumnsBuilder
from nextbest.lift.draws import Draw, Pair, logged_choices, pools_of
from nextbest.lift.off_policy import PolicyValue, value_of_candidate
from nextbest.logic.decision_files import stored_decisions
from nextbest.logic.models import model_of_version
from nextbest.logic.programs import present_program
from nextbest.logic.report_files import DECISIONS, put_report_of
from nextbest.observability import logger
from nextbest.scoring import Model, recommend
from nextbest.store.base import ArtifactStore, Store

DAYS = 90
"""Decisions of so many days before now are read; files expire after as many unless the deployment says otherwise."""
MAX_DECISIONS = 50_000
"""Of more, those of a sample of the users are used."""
MAX_DRAWS = 20_000
"""That the candidate scores a history for; of more, those of a sample of the users."""
_ALL = "all"

Row = TypeVar("Row")

UserEvents = Mapping[str, Sequence[tuple[float, str, str]]]
"""Time, event type and asset of each user's events, ascending, by the user's hash."""


@dataclass(frozen=True, slots=True)
class CandidateReport:
    """What the ``model`` would have reached in place of exploration, or the ``reason`` why nobody can know.

    Of the ``draws`` since it was trained, ``known`` are of a pool whose actions are known and of which the model knows
    one. ``user_share`` of the users were looked at.
    """

    model: str
    trained_at: float
    draws: int
    known: int
    user_share: float
    value: PolicyValue | None
    reason: str = ""

    def to_json(self) -> dict[str, object]:
        """A JSON object."""
        return {
            "model": self.model,
            "trained_at": self.trained_at,
            "draws": self.draws,
            "known": self.known,
            "user_share": self.user_share,
            "value": None if self.value is None else self.value.to_json(),
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class DecisionReport:
    """What is known of the decisions of the ``days`` before ``now`` (seconds since 1970).

    ``user_share`` of the users were looked at. ``weeks`` are growth weights against what came true within
    ``horizon_days``, without the decisions for users who were held out (``held_out``), which are no model's.
    """

    now: float
    days: int
    decisions: int
    held_out: int
    user_share: float
    horizon_days: int
    weeks: tuple[WeekAgreement, ...]
    candidate: CandidateReport | None

    def to_json(self) -> dict[str, object]:
        """A JSON object without NaN or infinity."""
        return {
            "now": self.now,
            "days": self.days,
            "decisions": self.decisions,
            "held_out": self.held_out,
            "user_share": self.user_share,
            "horizon_days": self.horizon_days,
            "weeks": [each.to_json() for each in self.weeks],
            "candidate": None if self.candidate is None else self.candidate.to_json(),
        }


def compute_decision_report(
    store: Store, artifacts: ArtifactStore, incarnation: Incarnation, *, model_version: str | None, now: float
) -> DecisionReport:
    """Compute the report of a program's decisions at ``now`` and keep it; with a ``model_version``, what that model of
    the program would have reached.

    Raises NotFound, and InvalidInput for a version that the program does not have.
    """
    program = present_program(store, incarnation)
    model = None if model_version is None else model_of_version(artifacts, incarnation, model_version).under(program)
    sample = _UserSample[Decision](MAX_DECISIONS)
    for decision in stored_decisions(artifacts, incarnation, now - DAYS * DAY_SECONDS, now):
        if not all(0.0 <= action.growth_weight <= 1.0 for action in decision.actions):
            logger.warning("a decision has growth weights that are no probabilities", id=decision.recommendation_id)
        elif decision.time <= now:
            sample.add(decision.user, decision)
    decisions = sample.kept
    events = _events_of(store, program, {decision.user for decision in decisions})
    held_out = [decision for decision in decisions if HOLDOUT_VARIANT in decision.experiments.values()]
    served = [decision for decision in decisions if HOLDOUT_VARIANT not in decision.experiments.values()]
    candidate = None
    if model is not None and model_version is not None:
        candidate = _candidate(program, model, model_version, served, events, now=now)
    report = DecisionReport(
        now=now,
        days=DAYS,
        decisions=len(decisions),
        held_out=len(held_out),
        user_share=sample.share,
        horizon_days=program.horizon_days,
        weeks=_weeks(program, served, events, now=now),
        candidate=candidate,
    )
    body, subject = {"program_id": program.program_id, **report.to_json()}, partial(present_program, store, incarnation)
    put_report_of(artifacts, incarnation, DECISIONS, body, subject)
    logger.info("decisions reported", program_id=program.program_id, decisions=report.decisions)
    return report


class _UserSample(Generic[Row]):
    """Rows of a share of the users, half as many each time there are more than ``most``.

    Which users is decided by their keyed hash, so that it depends on nothing that was decided or done.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._rows: list[tuple[str, Row]] = []
        self.share = 1.0

    def add(self, user: str, row: Row) -> None:
        """Take a row, if its user is one of the sample."""
        if not self._takes(user):
            return
        self._rows.append((user, row))
        while len(self._rows) > self._most:
            self.share /= 2.0
            self._rows = [(user, row) for user, row in self._rows if self._takes(user)]

    @property
    def kept(self) -> list[Row]:
        """The rows of the sample."""
        return [row for _, row in self._rows]

    def _takes(self, user: str) -> bool:
        return int(user[-13:], 16) / 16.0**13 < self.share


def _events_of(store: Store, program: Program, hashes: set[str]) -> UserEvents:
    """The events of the users with these hashes. Users who were deleted have none."""
    names = {user_id: user_hash(salt, user_id) for user_id, salt in store.user_salts(program.incarnation)}
    events: dict[str, list[tuple[float, str, str]]] = defaultdict(list)
    for user_id, time_us, event_type, asset_id in store.scan_events(program.incarnation):
        user = names.get(user_id)
        if user in hashes:
            events[user].append((time_us / MICROSECONDS, event_type, asset_id))
    for listed in events.values():
        listed.sort()
    return events


def _weeks(
    program: Program, decisions: Iterable[Decision], events: UserEvents, *, now: float
) -> tuple[WeekAgreement, ...]:
    builder = ColumnsBuilder((_ALL,))
    for decision in decisions:
        builder.add_decision(
            user=decision.user,
            time=decision.time,
            recommendation_id=decision.recommendation_id,
            variant=_ALL,
            # What was drawn has no growth weight that could come true.
            actions=[action for action in decision.actions if not _is_drawn(decision, action)],
        )
    for user, listed in events.items():
        for time, event_type, asset_id in listed:
            builder.add_outcome(user=user, time=time, action=(event_type, asset_id))
    columns = builder.build()
    horizon = float(program.horizon_days)
    credited = attribute(columns.decisions, columns.outcomes, horizon)
    return agreement_of_decisions(columns.decisions, columns.growth_weight, credited, horizon_days=horizon, now=now)


def _candidate(
    program: Program, model: Model, version: str, decisions: Iterable[Decision], events: UserEvents, *, now: float
) -> CandidateReport:
    """What the model would have reached in the choices that were drawn after it was trained.

    It learned from what came before, and would be right about that without being any good.
    """
    horizon = program.horizon_days * DAY_SECONDS
    drawn = sorted(_draws(decisions), key=lambda draw: (draw.time, draw.user, draw.action))
    sample = _UserSample[Draw](MAX_DRAWS)
    for draw in drawn:
        if model.trained_at <= draw.time <= now - horizon:
            sample.add(draw.user, draw)
    draws = sample.kept
    came_true = [_came_true(events.get(draw.user, ()), draw, horizon) for draw in draws]

    def weights_of(draw: Draw, pool: tuple[Pair, ...]) -> list[float]:
        listed = events.get(draw.user, ())
        before = listed[: bisect_left(listed, (draw.time,))]
        history = History.from_events((event_type, asset_id, time) for time, event_type, asset_id in before)
        return _growth_weights(model, history, pool, now=draw.time)

    choices = logged_choices(draws, pools_of(draws), came_true, weights_of)

    def report(value: PolicyValue | None, reason: str = "") -> CandidateReport:
        return CandidateReport(version, model.trained_at, len(draws), len(choices), sample.share, value, reason)

    if not drawn:
        return report(None, "nothing was drawn: only campaigns that explore draw, from actions that no model knows yet")
    if not draws:
        return report(None, "nothing was drawn since the model was trained whose horizon is over")
    if not len(choices):
        return report(
            None, "the model knows none of the actions that were drawn, or pools are not known from few draws"
        )
    value = value_of_candidate(choices)
    return report(value, value.reason)


def _draws(decisions: Iterable[Decision]) -> Iterator[Draw]:
    """Places that exploration drew, from more than one action."""
    for decision in decisions:
        if decision.pool > 1:
            kind = (decision.model, decision.filter, tuple(sorted(decision.filter_values.items())))
            for action in decision.actions:
                if _is_drawn(decision, action) and action.propensity < 1.0:
                    yield Draw(decision.user, decision.time, (action.event_type, action.asset_id), decision.pool, kind)


def _is_drawn(decision: Decision, action: DecidedAction) -> bool:
    """Whether exploration drew the action. It draws what the served model does not know: growth weights are 0."""
    return decision.pool > 0 and action.growth_weight == 0.0


def _came_true(events: Sequence[tuple[float, str, str]], draw: Draw, horizon: float) -> bool:
    first = bisect_left(events, (draw.time,))
    for time, event_type, asset_id in events[first:]:
        if time > draw.time + horizon:
            return False
        if (event_type, asset_id) == draw.action:
            return True
    return False


def _growth_weights(model: Model, history: History, pool: tuple[Pair, ...], *, now: float) -> list[float]:
    """The growth weight of each action of the pool; 0 for what the model does not know, or withholds from the user."""
    places = [place for place in map(model.place_of, pool) if place is not None]
    if not places:
        return [0.0] * len(pool)
    allowed = np.zeros(len(model.actions), np.bool_)
    allowed[places] = True
    # Nothing but the pool: actions that the model does not know are of no interest here.
    ranked = recommend(
        model,
        history,
        now=now,
        limit=len(places),
        allow_repeats=True,
        allowed=allowed,
        allows=lambda actions: np.zeros(len(actions), np.bool_),
    )
    weights = {(entry.event_type, entry.asset_id): entry.growth_weight for entry in ranked}
    return [weights.get(pair, 0.0) for pair in pool]
