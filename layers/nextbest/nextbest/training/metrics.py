"""Full-ranking metrics: every action of the catalogue is a candidate, none is sampled.

For a user with targets T and the list a_1 … a_k:  recall = |hits| / min(|T|, k);
NDCG = Σ_hits 1 / log2(place + 1) / Σ_{place ≤ min(|T|, k)} 1 / log2(place + 1);  MRR = 1 / place of the first hit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse, stats

CUTOFF = 10
_RANKED_CELLS = 4_000_000
"""Users times actions ranked for the area under the curve: 32 MB of ranks; beyond it, users are sampled evenly."""
_REPORTED_CUTOFFS = (5, 10, 25)
_DISCOUNTS = 1.0 / np.log2(np.arange(2, CUTOFF + 2))
_IDEAL = np.concatenate(([1.0], np.cumsum(_DISCOUNTS)))  # entry 0 is never used: users without targets are left out


@dataclass(frozen=True, slots=True)
class Metrics:
    """Means over users, at cutoff 10; ``coverage`` is the share of the catalogue in at least one list."""

    recall: float
    ndcg: float
    reciprocal_rank: float
    coverage: float
    users: int


def top_lists(scores: NDArray[np.floating[Any]], cutoff: int = CUTOFF) -> NDArray[np.int64]:
    """Indices of the best ``cutoff`` columns of each row, best first; the caller breaks ties that matter."""
    columns = scores.shape[1]
    if cutoff < columns:
        part = np.argpartition(scores, columns - cutoff, axis=1)[:, columns - cutoff :]
    else:
        part = np.tile(np.arange(columns), (scores.shape[0], 1))
    order = np.argsort(-np.take_along_axis(scores, part, axis=1), axis=1, kind="stable")
    return np.take_along_axis(part, order, axis=1)


def hits_of(lists: NDArray[np.int64], targets: sparse.csr_array) -> NDArray[np.bool_]:
    """Whether each listed action is a target of its row; shape of ``lists``."""
    columns = targets.shape[1]
    rows = np.repeat(np.arange(targets.shape[0]), np.diff(targets.indptr))
    target_keys = np.sort(rows * columns + targets.indices)
    listed_keys = np.arange(lists.shape[0])[:, None] * columns + lists
    place = np.minimum(np.searchsorted(target_keys, listed_keys), max(len(target_keys) - 1, 0))
    return target_keys[place] == listed_keys if len(target_keys) else np.zeros(lists.shape, np.bool_)


def ndcg_of(hits: NDArray[np.bool_], target_counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """NDCG of each user; ``hits`` (users, at most 10), ``target_counts`` (users,) at least 1."""
    gains: NDArray[np.float64] = hits @ _DISCOUNTS[: hits.shape[1]]
    return gains / _IDEAL[np.minimum(target_counts, CUTOFF)]


def ndcg_of_targets(scores: NDArray[np.float32], targets: sparse.csr_array) -> NDArray[np.float64]:
    """NDCG of each row of ``scores`` (users, actions): like ``ndcg_of`` of the ``top_lists``, in a third of the time.

    A target counts for the worst of the places that equal scores share.
    """
    size = scores.shape[1]
    cutoff = min(CUTOFF, size)
    top = np.partition(scores, size - cutoff, axis=1)[:, size - cutoff :]
    counts = np.diff(targets.indptr)
    rows = np.repeat(np.arange(scores.shape[0]), counts)
    own = scores[rows, targets.indices]
    places = (top[rows] >= own[:, None]).sum(axis=1)
    listed = own >= top.min(axis=1, initial=np.inf)[rows]
    gains = np.bincount(rows, np.where(listed, _DISCOUNTS[np.maximum(places, 1) - 1], 0.0), minlength=len(counts))
    return gains / _IDEAL[np.minimum(counts, CUTOFF)]


def measure(lists: NDArray[np.int64], targets: sparse.csr_array) -> Metrics:
    """The metrics of ``lists`` (users, at most 10; -1 where a list is shorter) against ``targets`` (users, actions)."""
    if not lists.shape[0]:
        return Metrics(0.0, 0.0, 0.0, 0.0, 0)
    counts = np.diff(targets.indptr)
    hits = hits_of(lists, targets) & (lists >= 0)
    first = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, np.inf)
    listed = np.unique(lists[lists >= 0])
    return Metrics(
        recall=float((hits.sum(axis=1) / np.minimum(counts, CUTOFF)).mean()),
        ndcg=float(ndcg_of(hits, counts).mean()),
        reciprocal_rank=float((1.0 / first).mean()),
        coverage=len(listed) / max(targets.shape[1], 1),
        users=len(counts),
    )


def held_out(scores: NDArray[np.float32], targets: sparse.csr_array) -> dict[str, float]:
    """The metrics of a Personalize solution version, from scores (users, actions; -inf: no candidate) and ``targets``.

    NDCG at 5, 10 and 25 and the area under the ROC curve are means over users. Precision (of the users an action was
    recommended to, who took it) and recall (of those who took it, who it was recommended to) are by action, at 10, and
    then means over actions; coverage is the share of actions in at least one list of 25. Empty without users. Source:
    Amazon Personalize developer guide, metrics of solution versions.
    """
    users, actions = scores.shape
    if not users or not actions:
        return {}
    counts = np.diff(targets.indptr)
    lists = top_lists(scores, min(max(_REPORTED_CUTOFFS), actions))
    possible = np.isfinite(np.take_along_axis(scores, lists, axis=1))
    hits = hits_of(lists, targets) & possible
    top, top_hits = lists[:, :CUTOFF], hits[:, :CUTOFF]
    recommended = np.bincount(top[possible[:, :CUTOFF]], minlength=actions)
    both = np.bincount(top[top_hits], minlength=actions)
    taken = np.bincount(targets.indices, minlength=actions)
    return {
        **{f"ndcg_at_{cutoff}": _ndcg_at(cutoff, hits, counts) for cutoff in _REPORTED_CUTOFFS},
        "precision": float((both[recommended > 0] / recommended[recommended > 0]).mean()),
        "recall": float((both[taken > 0] / taken[taken > 0]).mean()),
        "auc": _auc(scores, targets),
        "coverage": len(np.unique(lists[possible])) / actions,
    }


def _ndcg_at(cutoff: int, hits: NDArray[np.bool_], target_counts: NDArray[np.int64]) -> float:
    discounts = 1.0 / np.log2(np.arange(2, cutoff + 2))
    ideal = np.cumsum(discounts)[np.minimum(target_counts, cutoff) - 1]
    return float((hits[:, :cutoff] @ discounts[: hits.shape[1]] / ideal).mean())


def _auc(scores: NDArray[np.float32], targets: sparse.csr_array) -> float:
    """Mean over users of the chance that an action they took scores above one they did not; ties count half."""
    users, actions = scores.shape
    rows = np.linspace(0, users - 1, min(users, max(1, _RANKED_CELLS // actions))).astype(np.int64)
    ranks = stats.rankdata(scores[rows], axis=1)
    taken = targets[rows].toarray() > 0
    positive = taken.sum(axis=1)
    negative = actions - positive
    defined = negative > 0
    if not defined.any():
        return 0.5
    above = (ranks * taken).sum(axis=1) - positive * (positive + 1) / 2
    return float((above[defined] / (positive[defined] * negative[defined])).mean())
