"""A bookshop with an experiment and a planted effect: readers of known taste follow what suits it, by a known rule.

    shop = bookshop(seed=5, start=1_790_000_000)
    lives = play(shop, recommend)       # recommend(user id, history, now) answers as the product does

Whoever visits looks at books, mostly of the genre that they love, and now and then buys one. A reader who is shown a
book of that genre which they do not own buys it with the probability ``FOLLOWED``, beside what they do anyway: that is
all that recommendations do here. What readers do anyway, and whether they follow, is drawn before anything is
recommended. So the same shop, played with other recommendations, gives each reader's other *potential outcome* (Rubin
1974, "Estimating causal effects of treatments in randomized and nonrandomized studies"), and with both the effect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from nextbest.domain.actions import Action
from nextbest.domain.assets import Asset
from nextbest.domain.events import DAY_SECONDS, Event, to_microseconds
from nextbest.domain.history import History, HistoryEvent
from nextbest.logic.decisions import recommendation_id_of
from nextbest.logic.recommendations import RecommendationList

VIEW, BUY = "view", "buy"
GENRES = ("crime", "history", "cooking", "travel", "poetry")
DAYS_BEFORE, DAYS_AFTER = 42, 28
FOLLOWED = 0.15
"""Probability that a reader who is shown a book of their genre which they do not own buys it."""

_GENRE_SHARES = (0.4, 0.2, 0.15, 0.15, 0.1)
_BOOKS_A_GENRE = 5
_OWN_GENRE = 0.85
_MORE_VIEWS = 0.5
_BOUGHT_ANYWAY = 0.03
_SLOWEST, _FASTEST = 0.1, 0.4
# Parts of a day, which is counted from the start: nobody comes around its end, so that a report some hours after the
# experiment's last day is about the same readers as one at once.
_OPENS, _CLOSES = 0.35, 0.65
_STEP_SECONDS = 60.0

Recommend = Callable[[str, History, float], RecommendationList]
"""What a user is recommended: user id, history, and the time in seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A visit that begins at ``time`` (seconds since 1970): what the reader does anyway, and a number in [0, 1) that
    decides whether they follow."""

    time: float
    events: tuple[Event, ...]
    draw: float


@dataclass(frozen=True, slots=True)
class Reader:
    """A reader, the genre that they love, their events before the experiment, and their visits in it, in order."""

    user_id: str
    genre: str
    events: tuple[Event, ...]
    visits: tuple[Visit, ...]


@dataclass(frozen=True, slots=True)
class Bookshop:
    """Readers and books; the experiment lasts from ``start`` to ``end`` (seconds since 1970)."""

    readers: tuple[Reader, ...]
    assets: tuple[Asset, ...]
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Shown:
    """What a reader was shown at ``time`` (seconds since 1970)."""

    recommendation_id: str
    time: float
    actions: RecommendationList


@dataclass(frozen=True, slots=True)
class Life:
    """What a reader was shown and what they did during the experiment; purchases that followed a list name it."""

    shown: tuple[Shown, ...]
    events: tuple[Event, ...]

    def is_complete(self, horizon_days: float, now: float) -> bool:
        """Whether the horizon, from the first list on, is over at ``now``."""
        return bool(self.shown) and self.shown[0].time + horizon_days * DAY_SECONDS <= now

    def bought_within(self, horizon_days: float) -> bool:
        """Whether the reader, who was shown something, bought anything within the horizon."""
        opens = self.shown[0].time
        closes = opens + horizon_days * DAY_SECONDS
        return any(event.event_type == BUY and opens <= event.timestamp <= closes for event in self.events)


def bookshop(seed: int, start: float, readers: int = 600) -> Bookshop:
    """The shop in the ``DAYS_BEFORE`` days before ``start`` (whole seconds since 1970) and the ``DAYS_AFTER`` after it.

    The same arguments give the same shop, and another ``start`` the same at another time.
    """
    generator = np.random.default_rng(seed)
    assets = tuple(
        Asset(f"{genre}-{number}", f"{genre.capitalize()} {number}", (genre,))
        for genre in GENRES
        for number in range(1, _BOOKS_A_GENRE + 1)
    )
    return Bookshop(
        tuple(_reader(f"reader-{number:04d}", start, generator) for number in range(1, readers + 1)),
        assets,
        start,
        start + DAYS_AFTER * DAY_SECONDS,
    )


def play(shop: Bookshop, recommend: Recommend, *, progress: Callable[[int], object] | None = None) -> dict[str, Life]:
    """The experiment with these recommendations for everybody, by user id. ``progress`` gets each number of visits."""
    lives = {}
    for reader in shop.readers:
        lives[reader.user_id] = _life(reader, recommend)
        if progress is not None:
            progress(len(reader.visits))
    return lives


def _reader(user_id: str, start: float, generator: np.random.Generator) -> Reader:
    genre = str(generator.choice(GENRES, p=_GENRE_SHARES))
    pace = float(generator.uniform(_SLOWEST, _FASTEST))
    days = np.flatnonzero(generator.random(DAYS_BEFORE + DAYS_AFTER) < pace) - DAYS_BEFORE
    visits = [_visit(user_id, genre, start + day * DAY_SECONDS, generator) for day in days.tolist()]
    return Reader(
        user_id,
        genre,
        tuple(event for visit in visits if visit.time < start for event in visit.events),
        tuple(visit for visit in visits if visit.time >= start),
    )


def _visit(user_id: str, genre: str, midnight: float, generator: np.random.Generator) -> Visit:
    time = float(np.floor(midnight + generator.uniform(_OPENS, _CLOSES) * DAY_SECONDS))
    views = 1 + int(generator.poisson(_MORE_VIEWS))
    actions = [Action(VIEW, _book(genre, generator)) for _ in range(views)]
    if generator.random() < _BOUGHT_ANYWAY:
        actions.append(Action(BUY, actions[-1].asset_id))
    events = (
        Event(user_id, to_microseconds(time + place * _STEP_SECONDS), *action)
        for place, action in enumerate(actions, start=1)
    )
    return Visit(time, tuple(events), float(generator.random()))


def _book(genre: str, generator: np.random.Generator) -> str:
    chosen = genre if generator.random() < _OWN_GENRE else generator.choice(GENRES)
    # The first of a genre is looked at more often than the last.
    return f"{chosen}-{1 + int(_BOOKS_A_GENRE * generator.random() ** 1.5)}"


def _life(reader: Reader, recommend: Recommend) -> Life:
    history = _with(History.empty(), reader.events)
    shown, events = [], list[Event]()
    for number, visit in enumerate(reader.visits):
        done = list(visit.events)
        if history:  # who has none is not recommended anything
            actions = recommend(reader.user_id, history, visit.time)
            recommendation_id = recommendation_id_of(f"{reader.user_id}/{number}")
            shown.append(Shown(recommendation_id, visit.time, actions))
            book = _suiting(reader, history, actions)
            if book is not None and visit.draw < FOLLOWED:
                time_us = to_microseconds(visit.time + (len(done) + 1) * _STEP_SECONDS)
                done.append(Event(reader.user_id, time_us, BUY, book, recommendation_id=recommendation_id))
        events += done
        history = _with(history, done)
    return Life(tuple(shown), tuple(events))


def _suiting(reader: Reader, history: History, actions: RecommendationList) -> str | None:
    """The first book in the list that the reader would buy."""
    for action in actions.recommendations:
        is_loved = action.event_type == BUY and action.asset_id.startswith(f"{reader.genre}-")
        if is_loved and (BUY, action.asset_id) not in history.actions:
            return action.asset_id
    return None


def _with(history: History, events: Iterable[Event]) -> History:
    return history.merge(map(HistoryEvent.of, events))
