"""A blend: parts of a score and their weights, and the judge that says what it is worth.

The judge is NDCG@10 of the full ranking on a held-out window. A part enters only when it pays beyond chance, and leaves
when it no longer does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nextbest.scoring.kernels import Kernel
from nextbest.training.components import Recipe
from nextbest.training.metrics import held_out, ndcg_of_targets
from nextbest.training.priors import Prior
from nextbest.training.split import RowKind, Window

STEPS = (0.05, 0.15, 0.4, 1.0, 2.5, 6.0)
_SIGNED_STEPS = (*STEPS, -1.0, -6.0)  # having done it before may well speak against doing it again: films, courses
_TIE_WEIGHT = 1e-6
_NOTHING = 1e-20
_KIND_WEIGHTS = np.array([2.0, 2.0, 1.0])
"""How much each ``RowKind`` of a user counts. Their NDCGs are of unlike sizes: what comes next within a visit is the
easiest to tell. So a tenth more of one is weighed against a tenth more of another, by the geometric mean."""
_LEAST_LEVEL = 1e-3
"""Added to each NDCG before its logarithm, or the share of one user where that is more: where an NDCG is no larger, a
tenth more of it is luck, and does not count as much as a tenth more of what can be told."""
_SMALLEST_GAIN = 2e-4
_STANDARD_ERRORS = 1.5
"""A part enters when its gain, user by user, is this many standard errors: the best of a hundred settings that are all
worthless looks better than nothing, and small programs are full of such luck."""

Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a blend: ``what`` is a prior, a kernel (personal) or a recipe (learned). A ``timed``
    personal part is multiplied by how due each action is (``timing``)."""

    what: Prior | Kernel | Recipe
    weight: float
    timed: bool = False

    @property
    def name(self) -> str:
        """prior, personal, or the kind of the recipe."""
        if isinstance(self.what, Recipe):
            return self.what.kind
        return "personal" if isinstance(self.what, Kernel) else "prior"

    def to_json(self) -> dict[str, Any]:
        """For the report."""
        return {"part": self.name, "setting": str(self.what), "weight": self.weight, "timed": self.timed}


@dataclass(slots=True)
class Judge:
    """NDCG@10 on a window, over ``columns`` (the head, or everything): the mean over the users who have rows of a kind,
    and the weighted geometric mean over kinds. Counts the rankings it judged."""

    window: Window
    columns: NDArray[np.int64]
    ties: Scores
    judged: int = 0
    _targets: sparse.csr_array = field(init=False)
    _seen: tuple[NDArray[np.int64], NDArray[np.int64]] = field(init=False)
    _rows: NDArray[np.int64] = field(init=False)
    _cells: NDArray[np.int64] = field(init=False)
    _shares: NDArray[np.float64] = field(init=False)
    _users_of_kind: NDArray[np.float64] = field(init=False)
    _weights: NDArray[np.float64] = field(init=False)
    _least: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        targets = sparse.csr_array(self.window.targets[:, self.columns])
        self._rows = np.flatnonzero(np.diff(targets.indptr))
        self._targets = targets[self._rows]
        seen = sparse.coo_array(self.window.seen[self._rows][:, self.columns])
        self._seen = (seen.row.astype(np.int64), seen.col.astype(np.int64))
        _, owners = np.unique(self.window.moments.users[self._rows], return_inverse=True)
        self._cells = owners * len(RowKind) + self.window.kinds[self._rows]
        counts = np.bincount(self._cells, minlength=self.user_count * len(RowKind))
        self._shares = 1.0 / counts[self._cells]
        users = (counts.reshape(-1, len(RowKind)) > 0).sum(axis=0).astype(np.float64)
        weights = _KIND_WEIGHTS * users
        self._weights = weights / max(float(weights.sum()), 1.0)
        self._users_of_kind = np.maximum(users, 1.0)
        self._least = np.maximum(_LEAST_LEVEL, 1.0 / self._users_of_kind)

    @property
    def rows(self) -> NDArray[np.int64]:
        """Rows of the window that have a target among the columns."""
        return self._rows

    @property
    def user_count(self) -> int:
        """How many users are judged on."""
        return int(self._cells.max(initial=-1)) // len(RowKind) + 1

    def per_user(self, scores: Scores) -> NDArray[np.float64]:
        """NDCG@10 of each user over their rows of each kind, shape (users, kinds), 0 where they have none; ``scores``
        (rows, columns)."""
        self.judged += 1
        ranked = scores + self.ties * np.float32(_TIE_WEIGHT * max(float(np.abs(scores).max()), 1e-20))
        ranked[self._seen] = -np.inf
        values: NDArray[np.float64] = ndcg_of_targets(ranked, self._targets) * self._shares
        found = np.bincount(self._cells, values, self.user_count * len(RowKind))
        return found.reshape(-1, len(RowKind)).astype(np.float64)

    def __call__(self, scores: Scores) -> float:
        """The NDCG@10 of the ranking by ``scores``."""
        if not len(self._rows):
            return 0.0
        levels = self._levels(self.per_user(scores))
        return self._mean(levels) - self._mean(np.zeros_like(levels))

    def _levels(self, per_user: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean NDCG of each kind, shape (kinds,)."""
        return np.asarray(per_user.sum(axis=0) / self._users_of_kind)

    def _mean(self, levels: NDArray[np.float64]) -> float:
        """The weighted geometric mean of ``levels``, the least ones added."""
        return float(np.exp(self._weights @ np.log(levels + self._least)))

    def pays(self, before: Scores, after: Scores, standard_errors: float = _STANDARD_ERRORS) -> bool:
        """Whether ``after`` ranks better than ``before`` by more than chance explains."""
        gain, error = self._gain(before, after)
        return gain > max(_SMALLEST_GAIN, standard_errors * error)

    def harmless(self, before: Scores, after: Scores, standard_errors: float = 1.0) -> bool:
        """Whether ``after`` ranks worse than ``before`` by no more than chance explains."""
        gain, error = self._gain(before, after)
        return gain >= -standard_errors * error

    def _gain(self, before: Scores, after: Scores) -> tuple[float, float]:
        """What ``after`` gains over ``before``, user by user, and its standard error. Between two rankings the
        geometric mean is near enough to straight, so that each user's part in the gain is known."""
        first, then = self.per_user(before), self.per_user(after)
        levels = (self._levels(first) + self._levels(then)) / 2.0
        slopes = self._weights * self._mean(levels) / (levels + self._least)
        gains = (then - first) @ (slopes * self.user_count / self._users_of_kind)
        return float(gains.mean()), float(gains.std()) / max(len(gains), 1) ** 0.5

    def metrics(self, scores: Scores) -> dict[str, float]:
        """Everything that is told of a ranking: ``metrics.held_out``."""
        ranked = scores.copy()
        ranked[self._seen] = -np.inf
        whole = np.flatnonzero(self.window.kinds[self._rows] == RowKind.WHOLE)
        return held_out(ranked[whole], self._targets[whole])

    def scale_of(self, scores: Scores) -> float:
        """The mean over users of their best candidate's absolute score: what makes weights of parts comparable."""
        seen = self._seen
        candidates = np.abs(scores)
        candidates[seen] = 0.0
        scale = float(candidates.max(axis=1, initial=0.0).mean())
        return scale if scale > _NOTHING else 1.0


@dataclass(slots=True)
class Blend:
    """Parts with their (users, columns) scores, and the value of the whole."""

    judge: Judge
    parts: list[Part] = field(default_factory=list)
    scores: list[Scores] = field(default_factory=list)
    value: float = 0.0
    steps: list[dict[str, Any]] = field(default_factory=list)

    @property
    def total(self) -> Scores:
        """The blended scores."""
        total = np.zeros((len(self.judge.rows), len(self.judge.columns)), np.float32)
        for part, scores in zip(self.parts, self.scores, strict=True):
            total += np.float32(part.weight) * scores
        return total

    def consider(self, options: Sequence[tuple[Prior | Kernel | Recipe, Callable[[], Scores]]]) -> Part | None:
        """Add the option, at the weight, that helps most; None, and nothing added, when none does."""
        total = self.total
        best: tuple[float, Part, Scores] | None = None
        for what, compute in options:
            scores = compute()
            unit = (self.judge.scale_of(total) if self.parts else 1.0) / self.judge.scale_of(scores)
            steps = _SIGNED_STEPS if isinstance(what, Kernel) else STEPS
            for step in steps if self.parts else (1.0,):
                value = self.judge(total + np.float32(step * unit) * scores)
                if best is None or value > best[0]:
                    best = (value, Part(what, step * unit), scores)
        if best is None:
            return None
        if self.parts and not self.judge.pays(total, total + np.float32(best[1].weight) * best[2]):
            return None
        self.steps.append({**best[1].to_json(), "ndcg_before": self.value, "ndcg_after": best[0]})
        self.value = best[0]
        self.parts.append(best[1])
        self.scores.append(best[2])
        return best[1]

    def improve(self, place: int, options: Sequence[tuple[Prior | Kernel | Recipe, Callable[[], Scores]]]) -> None:
        """Exchange the part at ``place`` for the option that helps most, if one does, at a like weight."""
        part, scores = self.parts[place], self.scores[place]
        total = self.total
        rest = total - np.float32(part.weight) * scores
        scale = part.weight * self.judge.scale_of(scores)
        best, chosen = self.value, (part, scores)
        for what, compute in options:
            if what == part.what:
                continue
            other = compute()
            unit = scale / self.judge.scale_of(other)
            for step in (0.5, 1.0, 2.0):
                value = self.judge(rest + np.float32(unit * step) * other)
                if value > best:
                    best, chosen = value, (Part(what, unit * step), other)
        if self.judge.pays(total, rest + np.float32(chosen[0].weight) * chosen[1], 1.0):
            self.value = best
            self.parts[place], self.scores[place] = chosen

    def refine(self, rounds: int = 3) -> None:
        """Coordinate search over the weights, with smaller steps each round; a part that does not pay is dropped.

        Learned parts of one kind are a mean over settings, and keep their proportion."""
        self.value = self.judge(self.total)
        for round_number in range(rounds):
            spread = 2.0 ** (1.0 / (round_number + 1))
            for places in self._groups():
                self._refine_one(places, spread)
        kept = [place for place, part in enumerate(self.parts) if part.weight != 0.0]
        self.parts = [self.parts[place] for place in kept]
        self.scores = [self.scores[place] for place in kept]

    def _groups(self) -> list[list[int]]:
        """Places of the parts that are refined as one."""
        groups: dict[str, list[int]] = {}
        for place, part in enumerate(self.parts):
            groups.setdefault(part.name if isinstance(part.what, Recipe) else str(place), []).append(place)
        return list(groups.values())

    def without(self) -> list[float]:
        """The value of the blend without each of its parts in turn: what each is worth."""
        total = self.total
        return [
            self.judge(total - np.float32(part.weight) * scores) if len(self.judge.rows) else 0.0
            for part, scores in zip(self.parts, self.scores, strict=True)
        ]

    def _refine_one(self, places: Sequence[int], spread: float) -> None:
        group = np.zeros_like(self.total)
        for place in places:
            group += np.float32(self.parts[place].weight) * self.scores[place]
        rest = self.total - group
        best, factor = self.value, 1.0
        # A prior stays whatever it is worth here: it alone answers for users without a history.
        priors = [place for place, part in enumerate(self.parts) if part.name == "prior" and part.weight]
        if not group.any() or (priors != places and not self.judge.pays(rest, self.total, 0.5)):
            best, factor = self.judge(rest), 0.0
        else:
            for direction in (spread, 1.0 / spread):
                trial = direction
                value = self.judge(rest + np.float32(trial) * group)
                while value > best:
                    best, factor = value, trial
                    trial *= direction
                    value = self.judge(rest + np.float32(trial) * group)
        self.value = best
        for place in places:
            self.parts[place] = replace(self.parts[place], weight=self.parts[place].weight * factor)
