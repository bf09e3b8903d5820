"""From events to answers: rebases and the read side, on real engines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from nextbest.aws.table import Table
from nextbest.domain.access_keys import SCOPES, issue_key
from nextbest.domain.actions import Action, Recommendation
from nextbest.domain.assets import Asset
from nextbest.domain.events import Event
from nextbest.domain.history import WINDOW, History
from nextbest.domain.programs import Incarnation, Program
from nextbest.domain.rebase_status import COMPLETE, FAILED
from nextbest.errors import Forbidden, InvalidInput, QuotaExceeded
from nextbest.logic import event_log
from nextbest.logic.authorization import SecretCredentials
from nextbest.logic.rebase import Rebase
from nextbest.logic.recommendations import UNTRAINED, Recommender
from nextbest.scoring import Model
from nextbest.store import log_rows
from nextbest.store.dynamo import DynamoStore
from tests.factories import MemoryArtifacts, drink_events, ticking_clock
from tests.store.conftest import PROGRAM

NOW = 1_750_000_000.0
DAY = 86_400.0


def rebase(store: DynamoStore, artifacts: MemoryArtifacts, start: float = NOW) -> str:
    return Rebase(store, artifacts, PROGRAM.incarnation, clock=ticking_clock(start)).run().version


def credentials(text: str | None) -> SecretCredentials:
    return SecretCredentials.read(text)


def key_text(store: DynamoStore, key_id: str = "NBKREADER", opens: Incarnation = PROGRAM.incarnation) -> str:
    key, text = issue_key("m" * 32, key_id, programs=(opens,), scopes=SCOPES)
    store.put_access_key(key)
    return text


def test_a_rebase_learns_publishes_and_says_so(store: DynamoStore) -> None:
    # Given events and named assets
    artifacts = MemoryArtifacts()
    store.append(PROGRAM, drink_events(now=NOW))
    store.put_assets(PROGRAM.incarnation, [Asset("cake", "Carrot cake")])
    # When the program is rebased
    version = rebase(store, artifacts)
    # Then its status says so, and the next answer is that model's
    status = store.status(PROGRAM.incarnation)
    assert status is not None
    assert status.status_id == COMPLETE
    assert version in status.message
    recommender = Recommender(store, artifacts)
    read, state = recommender.read(credentials(key_text(store)), PROGRAM.program_id, "user-1", now=NOW)
    assert read.history is not None
    answer = recommender.recommend(state, read.history, now=NOW, limit=10, allow_repeats=True, explained=True)
    assert answer.model_version == version
    assert {entry.asset_id for entry in answer.recommendations} == {"latte", "tea", "espresso", "cake"}
    assert answer.catalogue.name_of("cake") == "Carrot cake"
    assert answer.explanations is not None
    for entry, why in zip(answer.recommendations, answer.explanations, strict=True):
        shares = why.prior_share + why.other_share + sum(part.share for part in why.contributions)
        assert shares == pytest.approx(entry.score, abs=1e-6)
    expected = History.from_events(
        (event.event_type, event.asset_id, event.timestamp)
        for event in drink_events(now=NOW)
        if event.user_id == "user-1"
    ).base_weights(PROGRAM.half_life_days, NOW)
    for entry in answer.recommendations:
        assert entry.base_weight == pytest.approx(expected[Action(entry.event_type, entry.asset_id)], abs=1e-9)


@pytest.mark.usefixtures("learned_every_time")
def test_a_rebase_is_a_function_of_the_events(store: DynamoStore) -> None:
    artifacts = MemoryArtifacts()
    store.append(PROGRAM, drink_events(now=NOW))
    first, second = rebase(store, artifacts), rebase(store, artifacts, NOW)
    assert first == second
    assert len([key for key in artifacts.files if key.startswith("models/")]) == 1


def test_a_warm_read_is_one_call_to_anything(store: DynamoStore, table: Table) -> None:
    # Given a warm environment
    artifacts = MemoryArtifacts()
    store.append(PROGRAM, drink_events(now=NOW))
    store.put_assets(PROGRAM.incarnation, [Asset("cake", "Carrot cake")])
    rebase(store, artifacts)
    recommender, text = Recommender(store, artifacts), key_text(store)

    def ask(user_id: str) -> None:
        read, state = recommender.read(credentials(text), PROGRAM.program_id, user_id, now=NOW)
        assert read.history is not None
        recommender.recommend(state, read.history, now=NOW, limit=5, allow_repeats=True, explained=False)

    ask("user-0")
    calls: list[str] = []
    table.client.meta.events.register("before-call.dynamodb", lambda model, **_: calls.append(model.name))
    reads_before = artifacts.reads
    # When another user is asked for
    ask("user-1")
    # Then that is one DynamoDB call and no other
    assert calls == ["BatchGetItem"]
    assert artifacts.reads == reads_before


def test_a_program_without_events_fails_with_the_reason(store: DynamoStore) -> None:
    with pytest.raises(InvalidInput, match="no events"):
        rebase(store, MemoryArtifacts())
    status = store.status(PROGRAM.incarnation)
    assert status is not None
    assert status.status_id == FAILED
    assert "no events" in status.message


@pytest.mark.parametrize("begun", [False, True], ids=["when it is read", "while it is read"])
def test_a_program_that_does_not_fit_fails_with_the_reason_before_anything_is_learned(
    store: DynamoStore, monkeypatch: pytest.MonkeyPatch, begun: bool
) -> None:
    store.append(PROGRAM, drink_events(now=NOW))
    artifacts = MemoryArtifacts()
    if begun:
        monkeypatch.setattr(log_rows, "_PROGRESS_EVENTS", 1)
    small = Rebase(store, artifacts, PROGRAM.incarnation, clock=ticking_clock(NOW), memory_bytes=1e6)

    with pytest.raises(QuotaExceeded, match="too large for a rebase"):
        small.run()

    status = store.status(PROGRAM.incarnation)
    assert status is not None
    assert (status.status_id, "users" in status.message) == (FAILED, not begun)
    assert artifacts.files == {}


def test_a_rebase_that_dies_leaves_the_old_model_recommender(store: DynamoStore) -> None:
    # Given a served model
    artifacts = MemoryArtifacts()
    store.append(PROGRAM, drink_events(now=NOW))
    version = rebase(store, artifacts)

    class Full(MemoryArtifacts):
        def put(self, _key: str, _data: bytes) -> None:
            raise OSError("the disk is full")

    # When the next rebase cannot write
    with pytest.raises(OSError, match="full"):
        rebase(store, Full(), NOW + 60)
    # Then the reason is told and the old one stays
    status, state = store.status(PROGRAM.incarnation), store.program_state(PROGRAM.program_id)
    assert status is not None
    assert state is not None
    assert state.model is not None
    assert (status.status_id, status.message) == (FAILED, "the disk is full")
    assert state.model.version == version


def test_histories_that_there_is_no_time_for_are_left_to_the_next_rebase(
    store: DynamoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a back-fill, and histories of which two take five minutes to rebuild
    events = drink_events(now=NOW)
    users = sorted({event.user_id for event in events})
    store.append(PROGRAM, events, refresh_histories=False)
    monkeypatch.setattr(event_log, "_USERS_AT_ONCE", 2)
    now, rebuild = [NOW], store.rebuild_histories

    def slowly(program: Program, user_ids: Iterable[str]) -> list[str]:
        now[0] += 300.0
        return rebuild(program, user_ids)

    monkeypatch.setattr(store, "rebuild_histories", slowly)
    opened = Rebase(store, MemoryArtifacts(), PROGRAM.incarnation, clock=lambda: now[0], seconds=900.0)
    # When the program is rebased in fifteen minutes at most
    opened.run()
    # Then it learns, scores everybody, says how many histories are left, and the schedule does not skip the program
    status = store.status(PROGRAM.incarnation)
    assert status is not None
    assert status.status_id == COMPLETE
    assert f"6 histories refreshed, {len(users) - 6:,} left to the next rebase, 900.0 s" in status.message
    assert len(list(store.backfilled_users(PROGRAM.incarnation))) == len(users) - 6 > 0
    state = store.program_state(PROGRAM.program_id)
    assert state is not None
    assert state.program.unchanged_since == 0.0
    # And the next rebase goes on with them
    monkeypatch.setattr(store, "rebuild_histories", rebuild)
    rebase(store, MemoryArtifacts(), NOW + DAY)
    assert list(store.backfilled_users(PROGRAM.incarnation)) == []
    assert all(store.read_user(PROGRAM.incarnation, user_id).history for user_id in users)


def test_of_two_rebases_at_once_the_later_one_wins(store: DynamoStore) -> None:
    artifacts = MemoryArtifacts()
    store.append(PROGRAM, drink_events(now=NOW))
    early = Rebase(store, artifacts, PROGRAM.incarnation, clock=ticking_clock(NOW))
    late = Rebase(store, artifacts, PROGRAM.incarnation, clock=ticking_clock(NOW + 5))
    newest = late.run()
    early.run()
    state = store.program_state(PROGRAM.program_id)
    assert state is not None
    assert state.model == newest


def test_two_calls_are_enough_to_get_started(store: DynamoStore) -> None:
    # ActionHub contract: "Only two calls needed to get started". No rebase ran yet.
    store.append(PROGRAM, drink_events(1, now=NOW))
    recommender = Recommender(store, MemoryArtifacts())
    read, state = recommender.read(credentials(key_text(store)), PROGRAM.program_id, "user-0", now=NOW)
    assert read.history is not None
    answer = recommender.recommend(state, read.history, now=NOW, limit=2, allow_repeats=True, explained=True)
    assert answer.model_version == UNTRAINED
    assert len(answer.recommendations) == 2
    assert 1 > answer.recommendations[0].growth_weight >= answer.recommendations[1].growth_weight > 0


def test_a_key_opens_its_own_program_alone(store: DynamoStore) -> None:
    recommender = Recommender(store, MemoryArtifacts())
    store.append(PROGRAM, drink_events(1, now=NOW))
    stranger = key_text(store, "NBKSTRANGER", Incarnation("another"))
    for text in (None, "", "nonsense", "NBKNOBODY.secret", "NBKSTRANGER.wrong", stranger):
        with pytest.raises(Forbidden):
            recommender.read(credentials(text), PROGRAM.program_id, "user-0", now=NOW)
    # A program that its key opens but that does not exist: refused as one that others have
    with pytest.raises(Forbidden):
        recommender.read(credentials(stranger), "another", "user-0", now=NOW)


def test_settings_changed_after_a_rebase_count_at_once(store: DynamoStore) -> None:
    # Given a model, and a user with so many events that the older ones are folded
    artifacts = MemoryArtifacts()
    store.append(PROGRAM, drink_events(now=NOW))
    ages_days = [1 + index / 10 for index in range(WINDOW + 100)]
    many = [Event("busy", round((NOW - days * DAY) * 1e6), "order", "tea") for days in ages_days]
    store.append(PROGRAM, many)
    rebase(store, artifacts)
    recommender = Recommender(store, artifacts)
    text = key_text(store)

    def answer() -> list[Recommendation]:
        read, state = recommender.read(credentials(text), PROGRAM.program_id, "busy", now=NOW)
        assert read.history is not None
        found = recommender.recommend(state, read.history, now=NOW, limit=10, allow_repeats=True, explained=True)
        assert found.explanations is not None
        return found.recommendations

    assert base_weight(answer(), "tea") == pytest.approx(sum(0.5 ** (days / 30) for days in ages_days), abs=1e-9)
    # When the half-life and the floor are changed
    store.update_program(replace(PROGRAM, half_life_days=7))
    # Then base weights follow, without a rebase
    assert base_weight(answer(), "tea") == pytest.approx(sum(0.5 ** (days / 7) for days in ages_days), abs=1e-9)
    # And so does the floor
    weights = sorted(entry.growth_weight for entry in answer())
    store.update_program(replace(PROGRAM, half_life_days=7, action_weight_floor=weights[-1]))
    assert [entry.growth_weight for entry in answer()] == [weights[-1]]


def base_weight(recommendations: list[Recommendation], asset_id: str) -> float:
    return next(entry.base_weight for entry in recommendations if entry.asset_id == asset_id)


def test_a_rebase_reports_whether_the_last_model_came_true(store: DynamoStore) -> None:
    # Given a model, after which a day passed
    artifacts = MemoryArtifacts()
    store.append(PROGRAM, drink_events(now=NOW))
    rebase(store, artifacts)
    # When the program is rebased again
    rebase(store, artifacts, NOW + DAY)
    # Then the new model's report holds what was expected of the last one, and what was observed
    state = store.program_state(PROGRAM.program_id)
    assert state is not None
    assert state.model is not None
    drift = Model.from_bytes(artifacts.get(state.model.key)).report["drift"]
    assert drift["repeats"]["recommendations"] > 0
    assert drift["repeats"]["observed"] == 0


@pytest.mark.parametrize("never", [(), ("order", "return")])
def test_event_types_that_are_never_recommended_are_stored(store: DynamoStore, never: tuple[str, ...]) -> None:
    store.update_program(replace(PROGRAM, never_recommended=never))
    state = store.program_state(PROGRAM.program_id)
    assert state is not None
    assert state.program.never_recommended == never


def test_a_change_of_what_is_never_recommended_works_at_once(store: DynamoStore) -> None:
    # Given a model, before and after the program stops recommending one event type
    artifacts = MemoryArtifacts()
    store.append(PROGRAM, drink_events(now=NOW))
    rebase(store, artifacts)
    recommender = Recommender(store, artifacts)
    text = credentials(key_text(store))
    event_type = drink_events(now=NOW)[0].event_type
    answers = []
    for never in ((), (event_type,)):
        store.update_program(replace(PROGRAM, never_recommended=never))
        read, state = recommender.read(text, PROGRAM.program_id, "user-1", now=NOW)
        assert read.history is not None
        answer = recommender.recommend(state, read.history, now=NOW, limit=10, allow_repeats=True, explained=False)
        answers.append({entry.event_type for entry in answer.recommendations})
    # Then the very next answer is without it
    assert event_type in answers[0]
    assert event_type not in answers[1]
