"""The generating process: one renewal process for each customer and action, on that pair's own clock.

    own time of a pair    runs with the customer's weekly clock until the habit fades, then at ``rest_speed`` of it
    opening of a pair     when the customer arrived, or, for an action with a prerequisite, the first time of that one
    arrivals of a pair    Erlang gaps in own time, in equilibrium at the opening; only one arrival where ``once``

Everything random is in the gaps, so the probability of an arrival within a horizon, given what has happened, is a
finite sum of exponentials; for an action whose prerequisite is still open it is that sum integrated over the time of
the prerequisite. Arrays have shape (customers, actions), days are habit days (see ``clock``) unless said otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from tools.simulator.clock import FloatArray, IntArray, WeeklyClock
from tools.simulator.renewal import arrival_density, arrival_probability, sample_arrivals, sample_wait, stage_weights

# Gauss-Legendre nodes: the integrand is a polynomial times exponentials, so this many leave errors near 1e-14.
QUADRATURE_NODES = 96
NO_PREREQUISITE = -1


@cache
def _quadrature() -> tuple[FloatArray, FloatArray]:
    """Nodes and weights on 0..1."""
    nodes, weights = np.polynomial.legendre.leggauss(QUADRATURE_NODES)
    return (nodes + 1.0) / 2.0, weights / 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Arrivals:
    """What happened: for each event the row of its customer, the column of its action, and its habit day."""

    customer: IntArray
    action: IntArray
    day: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Process:
    """Parameters of every pair.

    ``shape`` (Erlang stages) and ``mean_gap`` (own days, ``inf`` for never), ``begin`` and ``fade`` (habit days,
    ``fade`` is ``inf`` for a habit that lasts) have shape (customers, actions); ``profile`` (customers,) picks a weekly
    profile of ``clock``; ``once`` and ``prerequisite`` (a column, or -1) have shape (actions,). A prerequisite has none
    itself; anything else raises ``ValueError``.
    """

    clock: WeeklyClock
    profile: IntArray
    shape: IntArray
    mean_gap: FloatArray
    begin: FloatArray
    fade: FloatArray
    once: np.ndarray
    prerequisite: IntArray
    rest_speed: float

    def __post_init__(self) -> None:
        required = self.prerequisite[self.prerequisite != NO_PREREQUISITE]
        if np.any(self.prerequisite[required] != NO_PREREQUISITE):
            raise ValueError("a prerequisite must not have a prerequisite itself")

    def rows(self, customers: IntArray) -> Process:
        """The same process for some customers only."""
        return Process(
            clock=self.clock,
            profile=self.profile[customers],
            shape=self.shape[customers],
            mean_gap=self.mean_gap[customers],
            begin=self.begin[customers],
            fade=self.fade[customers],
            once=self.once,
            prerequisite=self.prerequisite,
            rest_speed=self.rest_speed,
        )

    def sample(
        self, first: FloatArray, last: FloatArray, start: FloatArray, stop: FloatArray, generator: np.random.Generator
    ) -> Arrivals:
        """What happens after ``start`` up to ``stop`` (customers,), given each pair's ``first`` and ``last`` arrival.

        ``first`` and ``last`` are habit days, ``nan`` where a pair has had no arrival. A ``start`` of minus infinity
        with no arrivals gives a whole history from its beginning.
        """
        independent = self._sample_open(first, last, start, stop, self._has_opened(first), generator)
        reached = first.copy()
        np.fmin.at(reached, (independent.customer, independent.action), independent.day)
        newly_open = self._has_opened(reached) & ~self._has_opened(first)
        dependent = self._sample_open(reached, last, start, stop, newly_open, generator)
        return Arrivals(
            customer=np.concatenate([independent.customer, dependent.customer]),
            action=np.concatenate([independent.action, dependent.action]),
            day=np.concatenate([independent.day, dependent.day]),
        )

    def probabilities(self, first: FloatArray, last: FloatArray, start: FloatArray, stop: FloatArray) -> FloatArray:
        """Probability of at least one arrival in (start, stop] for each pair, given its ``first`` and ``last``.

        ``start`` (customers,) must not lie before an arrival or a ``begin``, nor before a fade that is still to come.
        """
        now, end = self._own(start[:, None]), self._own(stop[:, None])
        weights = self._stage_weights(first, last, now)
        open_now = arrival_probability(self.shape, self.mean_gap, weights, end - now)
        result = np.where(self._has_opened(first) & ~self._is_over(first), open_now, 0.0)
        customer, action = np.nonzero(~self._has_opened(first))
        if customer.size:
            result[customer, action] = self._probability_through_prerequisite(customer, action, weights, end - now)
        return result

    def _probability_through_prerequisite(
        self, customer: IntArray, action: IntArray, weights: FloatArray, spans: FloatArray
    ) -> FloatArray:
        """Integral over the prerequisite's first arrival s of its density times P(the action arrives in what is left).

        No clock changes speed within the horizon, so the share of it that is left at s is the same on both clocks.
        """
        parent = self.prerequisite[action]
        nodes, node_weights = _quadrature()
        span = spans[customer, parent]
        density = arrival_density(
            self.shape[customer, parent][:, None],
            self.mean_gap[customer, parent][:, None],
            np.repeat(weights[customer, parent][:, None, :], len(nodes), axis=1),
            span[:, None] * nodes,
        )
        shape = self.shape[customer, action][:, None]
        mean_gap = self.mean_gap[customer, action][:, None]
        at_opening = stage_weights(shape, mean_gap, np.zeros_like(mean_gap), np.zeros_like(shape, dtype=bool))
        taken = arrival_probability(
            shape,
            mean_gap,
            np.repeat(at_opening, len(nodes), axis=1),
            spans[customer, action][:, None] * (1.0 - nodes),
        )
        return np.asarray((density * taken * node_weights).sum(axis=1) * span)

    def _sample_open(
        self,
        first: FloatArray,
        last: FloatArray,
        start: FloatArray,
        stop: FloatArray,
        chosen: np.ndarray,
        generator: np.random.Generator,
    ) -> Arrivals:
        customer, action = np.nonzero(chosen & ~(self._is_over(first)))
        now = np.maximum(self._own(start[:, None]), self._own(self._origin(first, last)))
        weights = self._stage_weights(first, last, self._own(start[:, None]))[customer, action]
        shape, mean_gap = self.shape[customer, action], self.mean_gap[customer, action]
        wait = sample_wait(shape, mean_gap, weights, generator)
        index, own_days = sample_arrivals(
            now[customer, action] + wait,
            self._own(stop[:, None])[customer, action],
            shape,
            mean_gap,
            self.once[action],
            generator,
        )
        customer, action = customer[index], action[index]
        fade = self.fade[customer, action]
        day = np.minimum(own_days, fade) + np.maximum(own_days - fade, 0.0) / self.rest_speed
        return Arrivals(customer=customer, action=action, day=day)

    def _own(self, days: FloatArray) -> FloatArray:
        """Own time of each pair at the given habit days, (customers, 1) or (customers, actions)."""
        return np.asarray(np.minimum(days, self.fade) + np.maximum(days - self.fade, 0.0) * self.rest_speed)

    def _has_opened(self, first: FloatArray) -> np.ndarray:
        """Whether a pair can arrive: it has no prerequisite, or the prerequisite has arrived."""
        return np.asarray((self.prerequisite == NO_PREREQUISITE) | ~np.isnan(first[:, self.prerequisite]))

    def _is_over(self, first: FloatArray) -> np.ndarray:
        """Whether a once-only action has been taken."""
        return np.asarray(self.once & ~np.isnan(first))

    def _origin(self, first: FloatArray, last: FloatArray) -> FloatArray:
        """The last arrival of a pair, or its opening (``begin`` where it has not opened)."""
        parent_first = np.where(self.prerequisite == NO_PREREQUISITE, np.nan, first[:, self.prerequisite])
        return np.where(np.isnan(last), np.fmax(self.begin, parent_first), last)

    def _stage_weights(self, first: FloatArray, last: FloatArray, now: FloatArray) -> FloatArray:
        elapsed = np.maximum(now - self._own(self._origin(first, last)), 0.0)
        return stage_weights(self.shape, self.mean_gap, elapsed, ~np.isnan(last))
