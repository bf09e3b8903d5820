"""Renewal processes with Erlang gaps: exact probabilities and exact samples.

A gap of shape k and mean g is k exponential stages of mean g / k each: k = 1 is the memoryless Poisson process, a
larger k a steadier cycle. Before its first arrival a process is taken to be in equilibrium: each number of completed
stages 0..k-1 is equally likely, so no cycle restarts because observation begins (Cox, Renewal Theory, 1962,
section 2.2 and 5.4). All functions take arrays that broadcast against each other; times are in habit days.
"""

from __future__ import annotations

import numpy as np

from tools.simulator.clock import FloatArray, IntArray


def stage_weights(shape: IntArray, mean_gap: FloatArray, elapsed: FloatArray, fresh: np.ndarray) -> FloatArray:
    """Probabilities of having completed 0, 1, .. stages, given no arrival for ``elapsed`` since the origin.

    ``fresh`` marks processes whose origin is an arrival (so they began with no stage completed); the others began in
    equilibrium. Returns shape (..., largest k); entries at k and above are 0. Each row adds up to 1.
    """
    stages = max(1, int(np.max(shape, initial=1)))
    position = elapsed * shape / mean_gap
    from_zero = np.empty((*position.shape, stages))
    from_zero[..., 0] = 1.0
    for stage in range(1, stages):
        from_zero[..., stage] = from_zero[..., stage - 1] * position / stage
    # Any of the first m stages may have been complete at the origin, hence the running sum.
    weights = np.where(fresh[..., None], from_zero, np.cumsum(from_zero, axis=-1))
    weights = np.where(np.arange(stages) < shape[..., None], weights, 0.0)
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def arrival_probability(shape: IntArray, mean_gap: FloatArray, weights: FloatArray, span: FloatArray) -> FloatArray:
    """Probability of at least one arrival within ``span`` from now: sum over m of w_m P(Erlang(k - m) <= span)."""
    return 1.0 - _mixture(shape, mean_gap, weights, span)[0]


def arrival_density(shape: IntArray, mean_gap: FloatArray, weights: FloatArray, at: FloatArray) -> FloatArray:
    """Density, per habit day, of the next arrival at ``at`` from now."""
    return _mixture(shape, mean_gap, weights, at)[1]


def _mixture(
    shape: IntArray, mean_gap: FloatArray, weights: FloatArray, at: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Survival and density at ``at`` of the mixture over completed stages m of Erlang(k - m) waits."""
    rate = shape / mean_gap
    position = at * rate
    # term = exp(-x) x^i / i!; survival of n stages = terms 0..n-1, density of n stages = rate * term n-1.
    term = np.exp(-position)
    survival_of_stages = np.zeros_like(term)
    survival = np.zeros_like(term)
    density = np.zeros_like(term)
    for remaining in range(1, weights.shape[-1] + 1):
        survival_of_stages = survival_of_stages + term
        completed = np.maximum(shape - remaining, 0)
        weight = np.take_along_axis(weights, np.broadcast_to(completed, weights.shape[:-1])[..., None], axis=-1)[..., 0]
        weight = np.where(shape >= remaining, weight, 0.0)
        survival = survival + weight * survival_of_stages
        density = density + weight * rate * term
        term = term * position / remaining
    return survival, density


def sample_wait(
    shape: IntArray, mean_gap: FloatArray, weights: FloatArray, generator: np.random.Generator
) -> FloatArray:
    """One wait until the next arrival for each process: a stage from ``weights``, then the stages that remain."""
    draws = generator.random(shape.shape)
    completed = np.minimum((draws[..., None] > np.cumsum(weights, axis=-1)).sum(axis=-1), shape - 1)
    return np.asarray(generator.standard_gamma(shape - completed) * mean_gap / shape)


def sample_arrivals(
    first: FloatArray,
    limit: FloatArray,
    shape: IntArray,
    mean_gap: FloatArray,
    once: np.ndarray,
    generator: np.random.Generator,
) -> tuple[IntArray, FloatArray]:
    """All arrivals from ``first`` up to ``limit``: (index of the process, time), one-dimensional, round by round.

    A process marked ``once`` ends with its first arrival.
    """
    indexes: list[IntArray] = []
    times: list[FloatArray] = []
    alive = np.flatnonzero(first <= limit)
    at = first[alive]
    while alive.size:
        indexes.append(alive)
        times.append(at)
        repeating = ~once[alive]
        alive, at = alive[repeating], at[repeating]
        at = at + generator.standard_gamma(shape[alive]) * mean_gap[alive] / shape[alive]
        inside = at <= limit[alive]
        alive, at = alive[inside], at[inside]
    if not indexes:
        return np.empty(0, dtype=np.int64), np.empty(0)
    return np.concatenate(indexes), np.concatenate(times)
