"""From weighted parts to a mode of the model: item weights packed and merged by kernel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nextbest.scoring.calibration import Calibration
from nextbest.scoring.kernels import Kernel
from nextbest.scoring.model import Influence, Mode, RepeatTiming, Term
from nextbest.training.table import EventTable, Moments, inputs_of
from nextbest.training.timing import timed_inputs


class ModeDraft:
    """A mode that parts are added to, already weighted. Parts with the same kernel become one term, and so one pass at
    serving."""

    def __init__(self, action_count: int) -> None:
        self._prior = np.zeros(action_count)
        self._timed: list[Term] = []
        self._personal: dict[Kernel, float] = {}
        self._item_weights: dict[Kernel, sparse.csr_array] = {}
        self._names: dict[Kernel, list[str]] = {}

    def add_prior(self, scores: NDArray[np.float64]) -> None:
        """Add ``scores`` (actions,) for every user."""
        self._prior += scores

    def add_personal(self, name: str, kernel: Kernel, weight: float) -> None:
        """Add ``weight`` times the user's own inputs."""
        self._personal[kernel] = self._personal.get(kernel, 0.0) + weight
        self._names.setdefault(kernel, []).append(name)

    def add_timed(self, name: str, kernel: Kernel, weight: float, timing: RepeatTiming | None) -> None:
        """Add ``weight`` times the user's own inputs, each times the factor of ``timing``: a term of its own."""
        weights = np.full(len(self._prior), weight, np.float32)
        self._timed.append(Term(f"{name}, timed", kernel, weights, None, timing))

    def add_item_weights(self, name: str, kernel: Kernel, weights: sparse.csr_array) -> None:
        """Add the user's inputs times ``weights`` (actions, actions)."""
        before = self._item_weights.get(kernel)
        self._item_weights[kernel] = weights if before is None else sparse.csr_array(before + weights)
        self._names.setdefault(kernel, []).append(name)

    def mode(self, calibration: Calibration) -> Mode:
        """The mode of all parts added."""
        merged = [
            Term(
                "+".join(names),
                kernel,
                np.full(len(self._prior), self._personal[kernel], np.float32) if kernel in self._personal else None,
                pack_influence(self._item_weights[kernel]) if kernel in self._item_weights else None,
            )
            for kernel, names in self._names.items()
        ]
        return Mode(self._prior.astype(np.float32), (*self._timed, *merged), calibration)


def pack_influence(weights: sparse.csr_array) -> Influence:
    """A sparse matrix as the model stores it: float16 over the largest, columns as narrow as the catalogue allows."""
    largest = float(np.abs(weights.data).max()) if weights.nnz else 1.0
    narrow = np.uint16 if weights.shape[1] <= np.iinfo(np.uint16).max else np.uint32
    return Influence(
        weights.indptr.astype(np.int64),
        weights.indices.astype(narrow),
        (weights.data / np.float32(largest)).astype(np.float16),
        largest,
    )


def unpack_influence(influence: Influence) -> sparse.csr_array:
    """Inverse of ``pack_influence``, up to rounding."""
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
