"""From a tuned blend to a mode of the model: learned weights truncated, rounded and merged by kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nextbest.scoring.calibration import Calibration
from nextbest.scoring.kernels import Kernel
from nextbest.scoring.model import Influence, Mode, Term
from nextbest.training.blend import Part
from nextbest.training.components import Recipe, Workshop
from nextbest.training.table import EventTable, Moments, inputs_of
from nextbest.training.timing import fit_timing, timed_inputs


def build_mode(
    workshop: Workshop,
    parts: Sequence[Part],
    matrices: Mapping[Recipe, sparse.csr_array],
    calibration: Calibration,
) -> Mode:
    """A mode from its ``parts``; parts with the same kernel become one term, and so one pass at serving."""
    size = len(workshop.table.actions)
    prior = np.zeros(size)
    own: dict[Kernel, float] = {}
    learned: dict[Kernel, sparse.csr_array] = {}
    names: dict[Kernel, list[str]] = {}
    timed: list[Term] = []
    for part in parts:
        if isinstance(part.what, Recipe):
            kernel = part.what.kernel
            weighted = sparse.csr_array(matrices[part.what] * np.float32(part.weight))
            learned[kernel] = sparse.csr_array(learned[kernel] + weighted) if kernel in learned else weighted
        elif isinstance(part.what, Kernel) and part.timed:
            weights = np.full(size, part.weight, np.float32)
            timed.append(Term("personal, timed", part.what, weights, None, fit_timing(workshop, part.what)))
            continue
        elif isinstance(part.what, Kernel):
            kernel = part.what
            own[kernel] = own.get(kernel, 0.0) + part.weight
        else:
            prior += part.weight * workshop.popularity(part.what)
            continue
        names.setdefault(kernel, []).append(part.name)
    terms = [
        Term(
            "+".join(names[kernel]),
            kernel,
            np.full(size, own[kernel], np.float32) if kernel in own else None,
            pack_influence(learned[kernel]) if kernel in learned else None,
        )
        for kernel in names
    ]
    return Mode(prior.astype(np.float32), (*timed, *terms), calibration)


def pack_influence(weights: sparse.csr_array) -> Influence:
    """A sparse matrix as the model keeps it: float16 over the largest, columns as narrow as the catalogue allows."""
    largest = float(np.abs(weights.data).max()) if weights.nnz else 1.0
    narrow = np.uint16 if weights.shape[1] <= np.iinfo(np.uint16).max else np.uint32
    return Influence(
        weights.indptr.astype(np.int64),
        weights.indices.astype(narrow),
        (weights.data / np.float32(largest)).astype(np.float16),
        largest,
    )


def unpack_influence(influence: Influence) -> sparse.csr_array:
    """Inverse of ``pack_influence``, but for rounding."""
    size = len(influence.starts) - 1
    data = influence.weights.astype(np.float32) * np.float32(influence.scale)
    return sparse.csr_array((data, influence.columns.astype(np.int64), influence.starts), shape=(size, size))


def rounded(weights: sparse.csr_array) -> sparse.csr_array:
    """``weights`` as they come back from the artifact."""
    return unpack_influence(pack_influence(weights))


def score_matrix(mode: Mode, table: EventTable, moments: Moments) -> NDArray[np.float64]:
    """Scores of all actions at ``moments``, shape (rows, actions): what ``recommend`` computes one by one, up to the
    rounding of float32."""
    scores = np.tile(mode.prior.astype(np.float64), (len(moments), 1))
    for term in mode.terms:
        x = inputs_of(table, moments, term.kernel)
        if term.self_weights is not None:
            own = x if term.timing is None else timed_inputs(table, moments, term.kernel, term.timing)
            scores += (own * term.self_weights[None, :]).toarray()
        if term.influence is not None:
            scores += (x @ unpack_influence(term.influence)).toarray()
    return scores
