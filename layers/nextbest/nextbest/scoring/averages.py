"""The average user of a program: what explanations compare a user with.

With the mean input m_j of every action in a term, the average user's score of action i is

    average_i = prior_i + Σ_terms (m_i · self_i + Σ_j m_j · W_ji)

so what an action of the history adds beyond the average user is its share less m_j · (self_j · [i = j] + W_ji), and all
of these, with those of what the user did not do, add up exactly to the score less the average one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nextbest.scoring.model import Mode
from nextbest.scoring.score import Inputs, influence_shares


def average_parts(
    mode: Mode, inputs: Inputs, targets: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The average user's score of each of ``targets`` (places in the scores), and the part of it that comes from what
    this user did too, shape (targets, seen).

    A model without mean inputs compares with somebody who did nothing, as do actions that the model does not know.
    """
    size = mode.prior.shape[0]
    priors = mode.prior if inputs.unknown is None else np.concatenate([mode.prior, inputs.unknown.priors(mode)])
    averages = priors[targets].astype(np.float64)
    own = np.zeros((targets.shape[0], inputs.seen.shape[0]))
    known = slice(0, inputs.known.shape[0])
    places = np.flatnonzero(targets < size)
    of_model = targets[places]
    for term in mode.terms:
        if term.mean_input is None:
            continue
        mean = term.mean_input.astype(np.float64)
        if term.self_weights is not None:
            averages[places] += mean[of_model] * term.self_weights[of_model]
            is_self = targets[:, None] == inputs.known[None, :]
            own[:, known] += is_self * (mean * term.self_weights)[inputs.known][None, :]
        if term.influence is not None:
            influence = term.influence
            amounts = influence.weights * np.repeat(mean * influence.scale, np.diff(influence.starts))
            averages[places] += np.bincount(influence.columns, amounts, minlength=size)[of_model]
            columns, amounts, source = influence_shares(term.influence, inputs.known, mean[inputs.known])
            for row, target in enumerate(targets.tolist()):
                hit = columns == target
                np.add.at(own[row], source[hit], amounts[hit])
    return averages, own
