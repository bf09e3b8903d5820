"""Scoring: a history and a model in, ranked and explained actions out. Needs numpy alone."""

from nextbest.scoring.explain import Contribution, Explanation, explain
from nextbest.scoring.model import Model
from nextbest.scoring.rank import recommend, recommend_many

__all__ = ["Contribution", "Explanation", "Model", "explain", "recommend", "recommend_many"]
