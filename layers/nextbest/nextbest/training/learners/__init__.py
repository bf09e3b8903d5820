"""The parts that a score is blended from, a file each; ``base`` says what they have in common."""

from nextbest.training.learners.base import FitTask, Fitted, ItemLearner, ItemWeights, Learner, Scores
from nextbest.training.learners.ease import Ease
from nextbest.training.learners.neighbours import Neighbours
from nextbest.training.learners.personal import Personal
from nextbest.training.learners.prior import Prior
from nextbest.training.learners.same_asset import SameAsset
from nextbest.training.learners.transitions import Transitions

__all__ = [
    "Ease",
    "FitTask",
    "Fitted",
    "ItemLearner",
    "ItemWeights",
    "Learner",
    "Neighbours",
    "Personal",
    "Prior",
    "SameAsset",
    "Scores",
    "Transitions",
]
