"""Actions that the model does not know compete with what it knows of their event types."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import pytest

from nextbest.domain.actions import Action
from nextbest.domain.history import History
from nextbest.errors import NotFound
from nextbest.scoring import Model, explain, recommend
from nextbest.scoring.calibration import Calibration
from nextbest.scoring.kernels import DAY_SECONDS, Kernel
from nextbest.scoring.memberships import build_part
from nextbest.scoring.model import Influence, Mode, RepeatTiming, Term
from nextbest.scoring.segment_manifest import DISCOVERY, GROWTH
from nextbest.scoring.unknown import Pooled
from tests.factories import columns_of_rows

NOW = 100 * DAY_SECONDS
SAME = np.array([-20.0, 20.0])
CUP, POT, SEEN = Action("buy", "cup"), Action("buy", "pot"), Action("view", "pot")
NEW_BUY, NEW_VIEW = Action("buy", "vase"), Action("view", "vase")
SEEN_JUG, BUY_JUG = Action("view", "jug"), Action("buy", "jug")
KERNEL = Kernel("time", "exponential", 10.0)


def mode(pooled: Pooled, own: float) -> Mode:
    influence = Influence(np.array([0, 0, 0, 1]), np.array([1], np.uint16), np.array([0.5], np.float16), 1.0)
    term = Term("all", KERNEL, np.full(3, own, np.float32), influence, None, pooled)
    knots, levels = np.array([0.0, 1.0]), np.array([-4.0, 1.0])
    calibration = Calibration(knots, levels, 1.0, np.zeros(3), 0.0, SAME, SAME)
    prior = np.array([0.1, 0.05, 0.01], np.float32)
    return Mode(prior, (term,), calibration, np.array([0.02, 0.01, 0.015], np.float32))


@pytest.fixture
def model() -> Model:
    """Knows buy cup, buy pot and view pot. Viewing leads to buying with 0.3, as a mean over assets."""
    leads = np.array([[0.0, 0.0], [0.3, 0.0]], np.float32)  # from buy and view (rows) to buy and view
    repeats = mode(Pooled(np.array([0.4, 0.2, 0.25], np.float32), leads), 0.4)
    discoveries = mode(Pooled(np.zeros(3, np.float32), leads), 0.0)
    return Model([CUP, POT, SEEN], repeats, discoveries, 10.0, 14.0, 0.0, NOW)


def history(*events: tuple[Action, float]) -> History:
    return History.from_events((*action, day * DAY_SECONDS) for action, day in events)


def scores(model: Model, taken: History, *, allow_repeats: bool) -> dict[Action, float]:
    answer = recommend(model, taken, now=NOW, limit=10, allow_repeats=allow_repeats)
    return {Action(item.event_type, item.asset_id): item.score for item in answer}


def test_what_was_done_first_today_is_among_the_repeats(model: Model) -> None:
    # Given a vase bought now, and viewed one half-life ago
    taken = history((NEW_BUY, 100.0), (NEW_VIEW, 90.0))
    # Then buy vase = 0.02 + 1 · 0.4 + 0.5 · 0.3, and view vase = 0.01 + 0.5 · 0.2
    ranked = recommend(model, taken, now=NOW, limit=2, allow_repeats=True)
    assert [(item.event_type, item.asset_id) for item in ranked] == [NEW_BUY, NEW_VIEW]
    assert [item.score for item in ranked] == pytest.approx([0.57, 0.11])
    assert [item.base_weight for item in ranked] == pytest.approx([1.0, 0.5])
    assert ranked[0].growth_weight == pytest.approx(1 / (1 + np.exp(4.0 - 5.0 * 0.57)))


@pytest.mark.parametrize("allow_repeats", [True, False])
def test_viewing_leads_to_buying_what_nobody_knows(model: Model, allow_repeats: bool) -> None:
    # Given a vase viewed now, then buying it = 0.02 + 1 · 0.3, though nobody ever bought it
    found = scores(model, history((NEW_VIEW, 100.0)), allow_repeats=allow_repeats)
    assert found[NEW_BUY] == pytest.approx(0.32)
    assert max(found, key=lambda action: found[action]) == NEW_BUY
    assert (NEW_VIEW in found) == allow_repeats


def test_an_unknown_view_leads_to_a_known_purchase(model: Model) -> None:
    # Given the cup, which is known as bought alone, viewed now: buying it = 0.1 + 1 · 0.3
    found = scores(model, history((Action("view", "cup"), 100.0)), allow_repeats=False)
    assert found[CUP] == pytest.approx(0.4)


def test_what_is_known_scores_as_before(model: Model) -> None:
    # Given the known view of the pot, which leads to buying it by a weight of its own: 0.05 + 1 · 0.5
    alone, beside = history((SEEN, 100.0)), history((SEEN, 100.0), (NEW_VIEW, 100.0))
    assert scores(model, alone, allow_repeats=False)[POT] == pytest.approx(0.55)
    assert scores(model, beside, allow_repeats=False)[POT] == pytest.approx(0.55)
    assert NEW_BUY not in scores(model, alone, allow_repeats=False)


def test_an_event_type_that_the_model_does_not_know_has_the_mean_of_all(model: Model) -> None:
    share = Action("share", "cup")
    assert scores(model, history((share, 100.0)), allow_repeats=True)[share] == pytest.approx(0.015 + 0.25)


def test_unknown_actions_are_explained(model: Model) -> None:
    taken = history((NEW_BUY, 100.0), (NEW_VIEW, 90.0))
    (buy,) = explain(model, taken, [NEW_BUY], now=NOW)
    assert buy.prior_share == pytest.approx(0.02)
    assert [part.action for part in buy.contributions] == [NEW_BUY, NEW_VIEW]
    assert [part.share for part in buy.contributions] == pytest.approx([0.4, 0.15])
    assert buy.score == pytest.approx(0.57)
    with pytest.raises(NotFound, match="anvil"):
        explain(model, taken, [Action("buy", "anvil")], now=NOW)


def test_a_mask_names_all_that_may_be_recommended(model: Model) -> None:
    allowed = np.array([True, False, False])
    answer = recommend(model, history((NEW_BUY, 100.0)), now=NOW, limit=9, allow_repeats=True, allowed=allowed)
    assert [item.asset_id for item in answer] == ["cup"]


def test_values_of_unknown_actions_are_one(model: Model) -> None:
    valued = replace(model, values=np.array([1.0, 50.0, 1.0]))
    answer = recommend(valued, history((NEW_BUY, 100.0)), now=NOW, limit=2, allow_repeats=True)
    assert [item.asset_id for item in answer] == ["pot", "vase"]


def test_timed_weights_use_the_typical_gap(model: Model) -> None:
    # Given factors of 0 right after and of 1 from one gap of 10 days on
    timing = RepeatTiming(np.full(3, 5.0, np.float32), np.array([-1.0, 0.0]), np.array([0.0, 1.0]))
    pooled = Pooled(np.array([0.4, 0.2, 0.25], np.float32), np.zeros((0, 0), np.float32), 10.0)
    term = Term("own", KERNEL, np.full(3, 0.4, np.float32), None, timing, pooled)
    timed = replace(model, repeats=replace(model.repeats, terms=(term,)))
    # Then a vase bought 10 days ago counts 0.5 · 0.4, and one bought now nothing
    found = [scores(timed, history((NEW_BUY, day)), allow_repeats=True)[NEW_BUY] for day in (90.0, 100.0)]
    assert found == pytest.approx([0.02 + 0.2, 0.02])


def test_the_file_keeps_what_is_known_of_event_types(model: Model) -> None:
    again = Model.from_bytes(model.to_bytes())
    taken = history((NEW_BUY, 100.0), (NEW_VIEW, 90.0))
    for allow_repeats in (True, False):
        one, other = (recommend(each, taken, now=NOW, limit=10, allow_repeats=allow_repeats) for each in (model, again))
        assert one == other


def test_a_file_of_version_1_leaves_unknown_actions_out(model: Model) -> None:
    # Given a model without what is known of event types, in a file that says version 1
    terms = tuple(replace(term, pooled=None) for term in model.repeats.terms)
    plain = replace(model.repeats, terms=terms, pooled_prior=None)
    data = bytearray(replace(model, repeats=plain, discoveries=plain).to_bytes())
    struct.pack_into("<I", data, 8, 1)
    # Then it is read, and answers without them
    old = Model.from_bytes(data)
    assert NEW_BUY not in scores(old, history((NEW_BUY, 100.0)), allow_repeats=True)


def test_segments_hold_unknown_actions_too(model: Model) -> None:
    events = columns_of_rows([("ann", *NEW_VIEW, NOW)])
    columns = {name: np.array(events[name], object) for name in ("user_id", "event_type", "asset_id")}
    times = np.array([round(NOW * 1e6)], np.int64)
    built = build_part(model, {**columns, "timestamp_us": times}, half_life_days=10.0, now=NOW)
    for kind, allow_repeats in ((GROWTH, True), (DISCOVERY, False)):
        answer = recommend(model, history((NEW_VIEW, 100.0)), now=NOW, limit=100, allow_repeats=allow_repeats)
        assert built[kind].memberships("ann") == [
            (Action(item.event_type, item.asset_id), item.growth_weight)
            for item in sorted(answer, key=lambda item: (-item.growth_weight, item.event_type, item.asset_id))
        ]


@pytest.mark.parametrize("allow_repeats", [True, False])
def test_event_types_that_are_never_recommended_are_evidence_alone(model: Model, allow_repeats: bool) -> None:
    # Given a program that never recommends views
    never = model.with_settings(half_life_days=10.0, action_weight_floor=0.0, never_recommended=("view",))
    taken = history((NEW_VIEW, 100.0), (SEEN, 100.0))
    # Then neither known nor unknown views are recommended, and what they lead to scores as before
    before, after = (scores(each, taken, allow_repeats=allow_repeats) for each in (model, never))
    assert after == {action: score for action, score in before.items() if action.event_type != "view"}
    assert Model.from_bytes(never.to_bytes()).never_recommended == ("view",)


@pytest.fixture
def with_jug(model: Model) -> Model:
    """The same, which also knows the view of a jug that nobody bought: it leads to buying it with 0.1."""
    first_time = np.array([[0.0, 0.0], [0.1, 0.0]], np.float32)

    def extended(mode: Mode) -> Mode:
        (term,) = mode.terms
        assert term.influence is not None and term.pooled is not None and term.self_weights is not None
        influence = replace(term.influence, starts=np.append(term.influence.starts, term.influence.starts[-1]))
        own = np.append(term.self_weights, term.self_weights[-1])
        pooled = replace(term.pooled, first_time=first_time)
        term = replace(term, influence=influence, self_weights=own, pooled=pooled)
        return replace(mode, prior=np.append(mode.prior, np.float32(0.0)), terms=(term,))

    actions = [*model.actions, SEEN_JUG]
    return replace(
        model,
        actions=actions,
        repeats=extended(model.repeats),
        discoveries=extended(model.discoveries),
        leads_to_first=np.array([False, False, False, True]),
    )


@pytest.mark.parametrize("allow_repeats", [True, False])
def test_a_known_view_leads_to_buying_what_nobody_bought(with_jug: Model, allow_repeats: bool) -> None:
    # Given the jug viewed one half-life ago, then buying it = 0.02 + 0.5 · 0.1
    taken = history((SEEN_JUG, 90.0))
    found = scores(with_jug, taken, allow_repeats=allow_repeats)
    assert found[BUY_JUG] == pytest.approx(0.07)
    (reason,) = explain(with_jug, taken, [BUY_JUG], now=NOW)
    assert [part.action for part in reason.contributions] == [SEEN_JUG]
    assert [part.share for part in reason.contributions] == pytest.approx([0.05])
    # And so it is after the file
    assert scores(Model.from_bytes(with_jug.to_bytes()), taken, allow_repeats=allow_repeats) == found


def test_once_the_user_bought_it_a_view_counts_as_any_other(with_jug: Model) -> None:
    # Given both now: buying again = 0.02 + 1 · 0.4 + 1 · 0.3
    found = scores(with_jug, history((SEEN_JUG, 100.0), (BUY_JUG, 100.0)), allow_repeats=True)
    assert found[BUY_JUG] == pytest.approx(0.72)


def test_event_types_that_are_never_recommended_are_not_followed(with_jug: Model) -> None:
    never = with_jug.with_settings(half_life_days=10.0, action_weight_floor=0.0, never_recommended=("buy",))
    assert BUY_JUG not in scores(never, history((SEEN_JUG, 100.0)), allow_repeats=True)


def test_only_the_newest_known_actions_are_followed(with_jug: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given views of a jug and of a bowl, which nobody bought, and room for one
    monkeypatch.setattr("nextbest.scoring.score.MOST_FOLLOWED", 1)
    actions = [CUP, POT, Action("view", "bowl"), SEEN_JUG]
    bowl = replace(with_jug, actions=actions, leads_to_first=np.array([False, False, True, True]))
    found = scores(bowl, history((Action("view", "bowl"), 98.0), (SEEN_JUG, 99.0)), allow_repeats=True)
    # Then the newest is followed
    assert BUY_JUG in found
    assert Action("buy", "bowl") not in found


def test_a_file_of_version_2_follows_nothing_that_it_knows(with_jug: Model) -> None:
    # Given a model without influences of the first time, in a file that says version 2
    def old(mode: Mode) -> Mode:
        (term,) = mode.terms
        assert term.pooled is not None
        return replace(mode, terms=(replace(term, pooled=replace(term.pooled, first_time=None)),))

    plain = replace(with_jug, repeats=old(with_jug.repeats), discoveries=old(with_jug.discoveries), leads_to_first=None)
    data = bytearray(plain.to_bytes())
    struct.pack_into("<I", data, 8, 2)
    again = Model.from_bytes(data)
    assert BUY_JUG not in scores(again, history((SEEN_JUG, 100.0)), allow_repeats=True)
    assert scores(again, history((NEW_VIEW, 100.0)), allow_repeats=True)[NEW_BUY] == pytest.approx(0.32)
