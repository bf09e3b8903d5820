"""The contact policy of a program: what rests, by the words of the rule, and how many of an event type a list has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nextbest.domain.actions import Action, Recommendation
from nextbest.domain.assets import Asset
from nextbest.domain.catalogue import Catalogue
from nextbest.domain.history import History
from nextbest.domain.programs import GoalEventType, ListCap, Program, RestRule
from nextbest.logic.recommendations import from_history_alone
from nextbest.personalize.runtime.candidates import Candidates
from nextbest.personalize.runtime.ranking import rank_by_history, rank_by_model
from nextbest.scoring import Model, recommend
from nextbest.scoring.goal_effects import GoalEffects
from nextbest.scoring.goal_ranking import recommend_for_goal
from nextbest.scoring.kernels import DAY_SECONDS
from nextbest.scoring.memberships import build_part
from nextbest.scoring.rests import Rests
from nextbest.scoring.segment_manifest import GROWTH
from tests.factories import columns_of_rows
from tests.property.test_candidate_rules import ASSETS, MANY, NOW, TYPES, models

Rows = list[tuple[str, str, float]]

types = st.sampled_from(TYPES)
times = st.integers(-1, 40).map(lambda half_days: NOW - half_days * DAY_SECONDS / 2)
"""Half days, so that many events are exactly as far apart as a rule says; one may be ahead of the clock."""
rows = st.lists(st.tuples(types, st.sampled_from([*ASSETS[:2], "new"]), times), max_size=14)


@st.composite
def rules(draw: st.DrawFn) -> RestRule:
    counted = draw(st.lists(types, min_size=1, max_size=2, unique=True))
    resting = draw(st.lists(st.sampled_from([*TYPES, "never seen"]).filter(lambda name: name not in counted)))
    return RestRule(
        tuple(counted),
        draw(st.integers(1, 3)),
        draw(st.integers(1, 8)),
        draw(st.integers(1, 8)),
        tuple(dict.fromkeys(resting)),
    )


rest_rules = st.lists(rules(), min_size=1, max_size=2).map(tuple)
caps = st.dictionaries(types, st.integers(1, 3), min_size=1).map(
    lambda most: tuple(ListCap(*cap) for cap in most.items())
)


def rests_until(rule: RestRule, events: Iterable[tuple[str, str, float]], action: Action) -> float | None:
    """The rule in the words of its description; seconds."""
    if action.event_type in rule.event_types:
        return None
    if rule.for_event_types and action.event_type not in rule.for_event_types:
        return None
    distinct = set(events)
    done = max((time for *done, time in distinct if tuple(done) == action), default=0.0)
    met = sorted(
        time
        for event_type, asset_id, time in distinct
        if event_type in rule.event_types and asset_id == action.asset_id and time > done
    )
    last = None
    for group in (met[end - rule.after : end] for end in range(rule.after, len(met) + 1)):
        if group[-1] - group[0] <= rule.within_days * DAY_SECONDS:
            last = group[-1] + rule.rest_days * DAY_SECONDS
    return last if last is not None and last > NOW else None


def ready(entries: Iterable[Recommendation], rules: Sequence[RestRule], events: Rows) -> list[Recommendation]:
    return [
        entry
        for entry in entries
        if all(rests_until(rule, events, Action(entry.event_type, entry.asset_id)) is None for rule in rules)
    ]


def within(entries: Iterable[Recommendation], caps: Sequence[ListCap]) -> list[Recommendation]:
    """The best of each capped type, in their order."""
    most, listed = dict(caps), Counter[str]()
    kept = []
    for entry in entries:
        listed[entry.event_type] += 1
        if listed[entry.event_type] <= most.get(entry.event_type, MANY):
            kept.append(entry)
    return kept


@given(rest_rules, rows)
@settings(max_examples=500, deadline=None)
def test_what_rests_is_what_the_words_of_the_rules_say(rules: tuple[RestRule, ...], events: Rows) -> None:
    rests = Rests.of(rules, History.from_events(events), now=NOW)

    for action in (Action(event_type, asset_id) for event_type in (*TYPES, "other") for asset_id in ("new", *ASSETS)):
        expected = [until for rule in rules if (until := rests_until(rule, events, action)) is not None]
        rest = rests.rest_of(action)
        assert (None if rest is None else rest.until_us) == (max(expected) * 1e6 if expected else None)
        assert rest is None or rests_until(rest.rule, events, action) == rest.until_us / 1e6


@given(rules(), rows, types, st.sampled_from(ASSETS[:2]))
@settings(max_examples=300, deadline=None)
def test_doing_the_action_ends_its_rest_and_nothing_rests_longer_with_more_events_asked_for(
    rule: RestRule, events: Rows, event_type: str, asset_id: str
) -> None:
    action = Action(event_type, asset_id)

    def rest_of(after: int, history: Rows) -> int:
        rest = Rests.of([rule._replace(after=after)], History.from_events(history), now=NOW).rest_of(action)
        return 0 if rest is None else rest.until_us

    latest = max((time for *_, time in events), default=NOW)
    assert rest_of(rule.after, [*events, (event_type, asset_id, latest)]) == 0
    ends = [rest_of(after, events) for after in range(1, 6)]
    assert ends == sorted(ends, reverse=True)


@given(models(), rest_rules, rows, st.booleans())
@settings(max_examples=300, deadline=None)
def test_what_rests_is_left_out_of_every_ranking_and_nothing_else_changes(
    model: Model, rules: tuple[RestRule, ...], events: Rows, allow_repeats: bool
) -> None:
    history = History.from_events(events)
    program = Program("shop", rest_rules=rules)
    everything = recommend(model, history, now=NOW, limit=MANY, allow_repeats=allow_repeats)
    expected = ready(everything, rules, events)

    for used in (model.under(program), Model.from_bytes(model.under(program).to_bytes())):
        assert used.rest_rules == program.rest_rules
        assert recommend(used, history, now=NOW, limit=MANY, allow_repeats=allow_repeats) == expected
        assert recommend(used, history, now=NOW, limit=2, allow_repeats=allow_repeats) == expected[:2]
        again = recommend(used, history, now=NOW, limit=MANY, allow_repeats=allow_repeats, resting=True)
        assert again == everything
    goal = (GoalEventType("upgrade", 2.0),)
    effects = GoalEffects.without_estimates(goal, model.actions)
    assert recommend_for_goal(
        model.under(program), effects, history, now=NOW, limit=MANY, allow_repeats=allow_repeats
    ) == ready(
        recommend_for_goal(model, effects, history, now=NOW, limit=MANY, allow_repeats=allow_repeats), rules, events
    )


@given(models(), caps, rows, st.booleans(), st.integers(1, 6), st.integers(0, 2**32 - 1))
@settings(max_examples=400, deadline=None)
def test_a_list_has_the_best_within_its_caps(
    model: Model, caps: tuple[ListCap, ...], events: Rows, allow_repeats: bool, limit: int, seed: int
) -> None:
    history = History.from_events(events)
    random = np.random.default_rng(seed)
    allowed = random.random(len(model.actions)) < 0.8
    values = random.random(len(model.actions))
    program = Program("shop", most_per_list=caps)
    capped = Model.from_bytes(model.under(program).to_bytes())
    assert capped.most_per_list == model.under(program).most_per_list == program.most_per_list

    for narrowed in ({}, {"allowed": allowed}, {"values": values}, {"allowed": allowed, "values": values}):
        everything = recommend(model, history, now=NOW, limit=MANY, allow_repeats=allow_repeats, **narrowed)
        answer = recommend(capped, history, now=NOW, limit=limit, allow_repeats=allow_repeats, **narrowed)
        assert answer == within(everything, caps)[:limit]
    goal = (GoalEventType("upgrade", 2.0),)
    effects = GoalEffects.without_estimates(goal, model.actions)
    for_goal = recommend_for_goal(model, effects, history, now=NOW, limit=MANY, allow_repeats=allow_repeats)
    assert (
        recommend_for_goal(capped, effects, history, now=NOW, limit=limit, allow_repeats=allow_repeats)
        == within(for_goal, caps)[:limit]
    )


@given(rest_rules, caps, rows, st.integers(1, 6))
@settings(max_examples=200, deadline=None)
def test_the_same_before_the_first_rebase(
    rules: tuple[RestRule, ...], caps: tuple[ListCap, ...], events: Rows, limit: int
) -> None:
    history, program = History.from_events(events), Program("shop")

    def names(entries: Iterable[Recommendation]) -> list[tuple[str, str]]:
        return [(entry.event_type, entry.asset_id) for entry in entries]

    everything = from_history_alone(program, history, now=NOW, limit=MANY, allow_repeats=True)
    under_rules = replace(program, rest_rules=rules, most_per_list=caps)
    answer = from_history_alone(under_rules, history, now=NOW, limit=limit, allow_repeats=True)
    assert names(answer) == names(within(ready(everything, rules, events), caps)[:limit])


@given(models(), rest_rules, rows)
@settings(max_examples=200, deadline=None)
def test_personalizes_dialect_lists_what_does_not_rest(model: Model, rules: tuple[RestRule, ...], events: Rows) -> None:
    history = History.from_events(events)
    candidates = candidates_of(model)
    allowed = np.ones(len(candidates.asset_ids), np.bool_)
    expected: dict[str, float] = {}
    for entry in ready(recommend(model, history, now=NOW, limit=MANY, allow_repeats=True), rules, events):
        expected[entry.asset_id] = max(expected.get(entry.asset_id, 0.0), entry.growth_weight)

    program = Program("shop", rest_rules=rules)
    ranked = rank_by_model(model.under(program), history, candidates, allowed, now=NOW, limit=MANY)

    likelihoods = zip(ranked.rows, ranked.likelihoods, strict=True)
    assert {candidates.asset_ids[row]: weight for row, weight in likelihoods} == expected


@given(models(), caps, rows, st.integers(1, 6), st.booleans())
@settings(max_examples=200, deadline=None)
def test_personalizes_dialect_counts_the_event_type_that_an_action_is_listed_for(
    model: Model, caps: tuple[ListCap, ...], events: Rows, limit: int, valued: bool
) -> None:
    history = History.from_events(events)
    candidates = candidates_of(model, valued=valued)
    allowed = np.ones(len(candidates.asset_ids), np.bool_)
    program = Program("shop", most_per_list=caps)

    for whole, part in (
        (
            rank_by_model(model, history, candidates, allowed, now=NOW, limit=MANY),
            rank_by_model(model.under(program), history, candidates, allowed, now=NOW, limit=limit),
        ),
        (
            rank_by_history(Program("shop"), history, candidates, allowed, frozenset(), now=NOW, limit=MANY),
            rank_by_history(program, history, candidates, allowed, frozenset(), now=NOW, limit=limit),
        ),
    ):
        most = dict(caps)
        listed = dict(zip(part.rows, part.event_types, strict=True))
        assert all(number <= most.get(name, MANY) for name, number in Counter(listed.values()).items())
        assert list(part.rows) == [row for row in whole.rows if row in listed]
        # What is missing was beyond a cap: as many of its type, or as many as were asked for, come before it
        for row in whole.rows:
            if row not in listed and len(part.rows) < limit:
                better = whole.rows[: whole.rows.index(row)]
                counts = Counter(listed[other] for other in better if other in listed)
                assert any(counts[name] == number for name, number in most.items())


@given(models(), rest_rules, caps, st.lists(st.tuples(st.sampled_from(["ann", "bo"]), rows), min_size=1, max_size=2))
@settings(max_examples=60, deadline=None)
def test_segments_have_those_who_would_be_recommended_it(
    model: Model, rules: tuple[RestRule, ...], caps: tuple[ListCap, ...], users: list[tuple[str, Rows]]
) -> None:
    log = list(dict.fromkeys((user_id, *event) for user_id, events in users for event in events))
    if not log:
        return
    columns = columns_of_rows(log)
    timed = {
        **{name: np.array(values, dtype=object) for name, values in columns.items() if name != "timestamp"},
        "timestamp_us": np.array([round(time * 1e6) for *_, time in log], np.int64),
    }
    used = model.under(Program("shop", rest_rules=rules, most_per_list=caps))

    built = build_part(used, timed, half_life_days=365, now=NOW)[GROWTH]

    for user_id in built.users:
        history = History.from_events(
            (event_type, asset_id, time) for who, event_type, asset_id, time in log if who == user_id
        )
        answer = recommend(used, history, now=NOW, limit=MANY, allow_repeats=True)
        assert {action for action, _ in built.memberships(user_id)} == {
            (entry.event_type, entry.asset_id) for entry in answer
        }


def candidates_of(model: Model, *, valued: bool = False) -> Candidates:
    assets = {name: Asset(name) for name in ("new", *ASSETS)}
    if valued:
        assets[ASSETS[1]] = Asset(ASSETS[1], fields={"VALUE": 3})
    return Candidates.of(model, Catalogue(1, assets), frozenset())
