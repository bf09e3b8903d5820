"""Exploration: a chance for actions that the model does not know yet (docs/contracts/personalize.md, section 7.6).

Every choice has a known probability, its propensity, so that explored actions can later be evaluated without bias. Hot
path: standard library alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Explored:
    """Rows that were drawn, the number of learned actions they leave room for, and each one's propensity.

    ``pool`` is how many could have been drawn; ``displaced`` the probability that one of them takes the last place of a
    full list.
    """

    rows: tuple[int, ...]
    learned: int
    propensity: float
    pool: int
    displaced: float = 0.0

    def propensities(self) -> list[float]:
        """The probability that an action was shown in its place, for the learned ones and then for the drawn ones."""
        learned = [1.0] * self.learned
        if learned and not self.rows and self.displaced:
            learned[-1] = 1.0 - self.displaced
        return learned + [self.propensity] * len(self.rows)


def explore(pool: Sequence[int], *, learned: int, limit: int, weight: float, random: Callable[[], Random]) -> Explored:
    """Draw from ``pool`` for a list of ``limit`` places, for which there are ``learned`` ranked actions.

    Places that stay empty are all explored: a draw without replacement, each with propensity places / pool. In a full
    list the last place goes to one of the pool with probability ``weight``, each with propensity weight / pool. With a
    ``weight`` of 0 nothing is explored. ``random`` makes the generator, which takes longer than everything else here,
    where there is something to draw.
    """
    size = len(pool)
    free = limit - learned
    if not size or weight <= 0 or limit <= 0:
        return Explored((), min(learned, limit), 0.0, size)
    generator = random()
    if free > 0:
        drawn = generator.sample(pool, min(free, size))
        return Explored(tuple(drawn), learned, min(1.0, free / size), size)
    # Drawn before the decision whether to use it, so that the decision does not change which one it would be.
    drawn_row = pool[generator.randrange(size)]
    if generator.random() < weight:
        return Explored((drawn_row,), limit - 1, weight / size, size, weight)
    return Explored((), limit, weight / size, size, weight)
