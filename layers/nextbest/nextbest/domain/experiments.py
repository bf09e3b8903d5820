"""Experiments of a program: a holdout that shows what the model adds, or a challenger of what is served.

Each user is in one variant of each running experiment. Which one depends on nothing but the ids of the experiment and
the user, so it is the same with every request, in both dialects and in every version of this code. A user who is held
out is in no other experiment, because no other changes what they get.

Pure values, also on the hot path of programs that run experiments: standard library alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from hashlib import blake2b
from typing import Any, Literal

Measure = Literal["rate", "value"]
"""What an experiment compares: the share of users with an outcome, or the mean value of a user's outcomes."""

MAX_LEAST_EFFECT = 10.0
"""As a share of what users do anyway: eleven times as much."""
MAX_RUNNING = 3
"""Of one program at once."""

HOLDOUT_VARIANT, MODEL_VARIANT = "holdout", "model"
CHALLENGER_VARIANT, CHAMPION_VARIANT = "challenger", "champion"


class ExperimentKind(StrEnum):
    """What an experiment compares with what the program serves."""

    HOLDOUT = "holdout"
    CHALLENGER = "challenger"


class ExperimentState(StrEnum):
    """``draft`` → ``running`` → ``stopped``; a stopped experiment never runs again."""

    DRAFT = "draft"
    RUNNING = "running"
    STOPPED = "stopped"


class HoldoutList(StrEnum):
    """What users who are held out get: what is popular with everybody, or an empty list."""

    POPULAR = "popular"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class ChallengerSettings:
    """What a challenger serves otherwise; None leaves what the program, the campaign or the request says.

    ``model_version`` names a model of the program. ``exploration_weight`` (0..1) is the campaign's, in the Personalize
    dialect alone. ``event_types`` are the only ones that are recommended; ``never_recommended`` and
    ``action_weight_floor`` are as the program's settings of these names. ``allow_repeats`` replaces the request's.
    """

    model_version: str | None = None
    exploration_weight: float | None = None
    action_weight_floor: float | None = None
    event_types: tuple[str, ...] | None = None
    never_recommended: tuple[str, ...] | None = None
    allow_repeats: bool | None = None

    def __post_init__(self) -> None:
        # JSON has lists
        for name in ("event_types", "never_recommended"):
            types = getattr(self, name)
            if types is not None:
                object.__setattr__(self, name, tuple(dict.fromkeys(types)))

    @property
    def names(self) -> frozenset[str]:
        """The names of what it changes."""
        return frozenset(entry.name for entry in fields(self) if getattr(self, entry.name) is not None)

    def to_json(self) -> dict[str, Any]:
        """Only what it changes."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def combined(self, other: ChallengerSettings) -> ChallengerSettings:
        """Both; what both change is the other's."""
        return replace(self, **other.to_json())


@dataclass(frozen=True, slots=True)
class ExperimentPlan:
    """How many ``users`` of both variants an experiment needs for an 80 % chance to show its least effect.

    ``effect`` is that effect in the units of the headline: a difference of shares, or of values a user. It follows from
    the ``mean`` and ``deviation`` of the outcomes of ``active_users``, who had events in one horizon and were followed
    for the next, until ``made_at`` (seconds since 1970). What is None is unknown, for the ``reason``.
    """

    made_at: float
    active_users: int
    mean: float | None = None
    deviation: float | None = None
    effect: float | None = None
    users: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Experiment:
    """One experiment of one program.

    ``share`` (above 0, below 1) of the users get what the experiment is about: they are held out, or served by the
    challenger. Times are seconds since 1970, None for what did not happen yet. Outcomes count within ``horizon_days``
    after a decision.

    ``headline`` is what the verdict is about; None for a draft that leaves it to the start, which takes ``value`` where
    the program has a goal. ``least_effect`` is the smallest effect worth knowing, as a share of what users do without
    it: 0.05 is 5 % more or less. The ``plan`` follows from both. None of them changes once the experiment runs.
    """

    experiment_id: str
    name: str
    kind: ExperimentKind
    share: float
    horizon_days: int
    created_at: float
    state: ExperimentState = ExperimentState.DRAFT
    holdout_list: HoldoutList = HoldoutList.POPULAR
    challenger: ChallengerSettings = field(default_factory=ChallengerSettings)
    started_at: float | None = None
    stopped_at: float | None = None
    promoted_at: float | None = None
    headline: Measure | None = None
    least_effect: float | None = None
    plan: ExperimentPlan | None = None

    @property
    def planned_by(self) -> tuple[object, ...]:
        """What the plan depends on; a change of it makes the plan void."""
        return self.share, self.horizon_days, self.headline, self.least_effect

    @property
    def treatment(self) -> str:
        """The name of the variant that ``share`` of the users are in."""
        return HOLDOUT_VARIANT if self.kind is ExperimentKind.HOLDOUT else CHALLENGER_VARIANT

    @property
    def control(self) -> str:
        """The name of the variant that is served as if there were no experiment."""
        return MODEL_VARIANT if self.kind is ExperimentKind.HOLDOUT else CHAMPION_VARIANT

    def variant_of(self, user_id: str) -> Variant:
        """The user's variant. A larger share leaves everybody in the treatment who was in it."""
        is_treated = number_of(self.experiment_id, user_id) < self.share
        return Variant(self, self.treatment if is_treated else self.control)

    def to_json(self) -> dict[str, Any]:
        """JSON-able members, by the names of the fields."""
        members = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        plan = None if self.plan is None else asdict(self.plan)
        return {**members, "challenger": self.challenger.to_json(), "plan": plan}

    @classmethod
    def from_json(cls, members: Mapping[str, Any]) -> Experiment:
        """Inverse of ``to_json``."""
        return cls(
            **{
                **members,
                "kind": ExperimentKind(members["kind"]),
                "state": ExperimentState(members["state"]),
                "holdout_list": HoldoutList(members["holdout_list"]),
                "challenger": ChallengerSettings(**members["challenger"]),
                "plan": ExperimentPlan(**members["plan"]) if members.get("plan") else None,
            }
        )


@dataclass(frozen=True, slots=True)
class Variant:
    """One side of an experiment: ``holdout`` or ``model``, ``challenger`` or ``champion``."""

    experiment: Experiment
    name: str

    @property
    def is_treatment(self) -> bool:
        """Whether what is served differs from what is served without the experiment."""
        return self.name == self.experiment.treatment


@dataclass(frozen=True, slots=True)
class Assignment:
    """What one user is served: ``variants`` are the variants' names by experiment id, as they are logged.

    ``holdout_list`` is None for those who are not held out; ``settings`` are what their challengers change.
    """

    variants: Mapping[str, str]
    holdout_list: HoldoutList | None
    settings: ChallengerSettings


def number_of(experiment_id: str, user_id: str) -> float:
    """A number in [0, 1), uniform over users and independent between experiments.

    The upper 53 of the 64 bits of blake2b(experiment id, NUL, user id), read as big-endian.
    """
    digest = blake2b(f"{experiment_id}\0{user_id}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53


def variants_of(experiments: Iterable[Experiment], user_id: str) -> dict[str, Variant]:
    """The user's variants of the ``experiments`` that run, by experiment id."""
    variants = {
        experiment.experiment_id: experiment.variant_of(user_id)
        for experiment in experiments
        if experiment.state is ExperimentState.RUNNING
    }
    held_out = {name: variant for name, variant in variants.items() if variant.name == HOLDOUT_VARIANT}
    return held_out or variants


def assignment_of(experiments: Iterable[Experiment], user_id: str) -> Assignment:
    """What the user is served by the ``experiments`` that run."""
    variants = variants_of(experiments, user_id)
    holdout_list, settings = None, ChallengerSettings()
    for variant in variants.values():
        if variant.name == HOLDOUT_VARIANT:
            holdout_list = variant.experiment.holdout_list
        elif variant.is_treatment:
            settings = settings.combined(variant.experiment.challenger)
    return Assignment(
        {experiment_id: variant.name for experiment_id, variant in variants.items()}, holdout_list, settings
    )


def conflict_of(experiment: Experiment, running: Iterable[Experiment]) -> str | None:
    """Why the experiment cannot run beside those that do; None where it can.

    Two holdouts would dilute each other, and of two challengers that change the same only one would be served.
    """
    others = list(running)
    if len(others) >= MAX_RUNNING:
        return f"at most {MAX_RUNNING} experiments of a program run at once"
    for other in others:
        if other.kind is not experiment.kind:
            continue
        if experiment.kind is ExperimentKind.HOLDOUT:
            return f"the holdout {other.experiment_id} runs already, and two would dilute each other"
        both = sorted(experiment.challenger.names & other.challenger.names)
        if both:
            return f"the challenger {other.experiment_id}, which runs already, changes {', '.join(both)} too"
    return None
