"""What the endpoints of the ``manage`` function act on, and what a call brings them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from nextbest.domain.access_keys import AccessKey
from nextbest.domain.catalogue import Catalogue
from nextbest.logic.authorization import Gate
from nextbest.logic.segments import SegmentCache
from nextbest.store.base import ArtifactStore, ProgramState, Store
from nextbest.store.cache import CatalogueCache


@dataclass(frozen=True, slots=True)
class Deployment:
    """What the endpoints act on.

    ``start_rebase`` and ``start_segments`` take a program id and return at once; ``pause`` waits for some seconds.
    """

    store: Store
    artifacts: ArtifactStore
    catalogues: CatalogueCache
    segments: SegmentCache
    gate: Gate
    start_rebase: Callable[[str], None]
    start_segments: Callable[[str], None]
    pause: Callable[[float], None]
    master_secret: str
    random: Random


@dataclass(frozen=True, slots=True)
class KeyCall:
    """A call that is about no one program: its input was read, and its caller holds a key."""

    deployment: Deployment
    asked: Any
    key: AccessKey
    now: float


@dataclass(frozen=True, slots=True)
class Call:
    """A call about a program: its input was read, and its caller was let in."""

    deployment: Deployment
    asked: Any
    key: AccessKey
    state: ProgramState
    now: float

    @property
    def program_id(self) -> str:
        return self.state.program.program_id

    @property
    def catalogue(self) -> Catalogue:
        return self.deployment.catalogues.catalogue_of(self.state)
