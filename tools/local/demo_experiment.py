"""The demo experiment: four weeks of a holdout with a planted effect, played on the local stack.

A program of its own, in which the product does what it does in production: its rebase learns at the start, its
recommender answers each visit as of that moment by the user's variant, its code records the decisions in their files,
and its API stores the events. What readers do with the answers is the simulator's (``tools/simulator/bookshop.py``);
the report knows nothing of that.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from random import SystemRandom

from tqdm import tqdm

from nextbest.domain.decisions import ACTIONHUB, DecidedAction
from nextbest.domain.events import DAY_SECONDS
from nextbest.domain.experiments import Experiment, ExperimentKind
from nextbest.domain.history import History
from nextbest.domain.programs import Program, new_incarnation
from nextbest.logic.decision_files import decision_files
from nextbest.logic.decisions import decision_fields, decision_of
from nextbest.logic.experiments import create_experiment, start_experiment
from nextbest.logic.program_removal import remove_program
from nextbest.logic.rebase import Rebase
from nextbest.logic.recommendations import RecommendationList, Recommender
from nextbest.store.base import ArtifactStore, ProgramState, UserRead
from nextbest.store.dynamo import DynamoStore
from tools.cli.deployment import Deployment, OperationFailed
from tools.local.demo import DemoClient
from tools.local.key import operator_key
from tools.simulator.bookshop import BUY, DAYS_AFTER, VIEW, Bookshop, Life, bookshop, play

PROGRAM_ID, EXPERIMENT_ID = "demo-bookshop", "lift"
DESCRIPTION = "Made by ./nextbest experiments demo, and made again by it."
HORIZON_DAYS = 14
HOLDOUT_SHARE = 0.5
LIMIT = 3
_SEED = 5

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class PlantedEffect:
    """What is true of the ``users`` who were followed for the whole horizon: the shares (0..1) of them who buy if all
    are recommended what the model says, and if all get the popular list."""

    users: int
    with_model: float
    with_popular_list: float


def play_demo_experiment(deployment: Deployment, *, now: float, report: Report) -> PlantedEffect:
    """Make the program with its experiment, which at ``now`` (seconds since 1970) runs since four weeks ago.

    A program that was made so before is replaced. ``report`` is called before each step. Raises OperationFailed for a
    deployment that is not local, and where the program is somebody else's; DemoFailed.
    """
    if not deployment.is_local:
        raise OperationFailed("the demo experiment is played on a local stack only: its events are made up")
    store, artifacts = deployment.store(), deployment.artifacts()
    shop = bookshop(_SEED, float(int(now)) - DAYS_AFTER * DAY_SECONDS)
    report("making the program and its past")
    program = _new_program(store, artifacts, shop)
    client = DemoClient(deployment.url, operator_key()[1], PROGRAM_ID)
    client.post_events((event for reader in shop.readers for event in reader.events), name="events before the start")
    report("learning the model of the start")
    Rebase(store, artifacts, program.incarnation, clock=lambda: shop.start).run()
    experiment = _started_experiment(store, artifacts, program, shop)
    report("playing four weeks, with the model and with the popular list for everybody")
    lives = _play_both(store, artifacts, shop, experiment)
    served = {
        reader.user_id: lives[experiment.variant_of(reader.user_id).name][reader.user_id] for reader in shop.readers
    }
    report("recording what each reader was really shown")
    for name, content in decision_files(_log_lines(store, served)).items():
        artifacts.put(name, content)
    client.post_events((event for life in served.values() for event in life.events), name="events of the four weeks")
    report("learning from the four weeks, as a schedule would have done meanwhile")
    Rebase(store, artifacts, program.incarnation, clock=time.time).run()
    return planted_effect(lives[experiment.control], lives[experiment.treatment], now=shop.end)


def planted_effect(
    with_model: Mapping[str, Life], with_popular_list: Mapping[str, Life], *, now: float
) -> PlantedEffect:
    """The truth at ``now`` (seconds since 1970), from the two lives of each user."""
    users = [user_id for user_id, life in with_model.items() if life.is_complete(HORIZON_DAYS, now)]
    shares = [
        sum(lives[user_id].bought_within(HORIZON_DAYS) for user_id in users) / len(users)
        for lives in (with_model, with_popular_list)
    ]
    return PlantedEffect(len(users), *shares)


def _new_program(store: DynamoStore, artifacts: ArtifactStore, shop: Bookshop) -> Program:
    state = store.program_state(PROGRAM_ID)
    if state is not None:
        if state.program.description != DESCRIPTION:
            raise OperationFailed(f"there is a program {PROGRAM_ID} that this command did not make: delete it first")
        remove_program(store, artifacts, state.program.incarnation)
    store.create_program(
        Program(
            PROGRAM_ID,
            "Demo bookshop",
            DESCRIPTION,
            incarnation=new_incarnation(PROGRAM_ID, random=SystemRandom()),
            never_recommended=(VIEW,),
            done_once=(BUY,),
            created_at=time.time(),
        )
    )
    program = _state(store).program
    store.put_assets(program.incarnation, shop.assets)
    return program


def _state(store: DynamoStore) -> ProgramState:
    state = store.program_state(PROGRAM_ID)
    assert state is not None
    return state


def _started_experiment(store: DynamoStore, artifacts: ArtifactStore, program: Program, shop: Bookshop) -> Experiment:
    incarnation = program.incarnation
    draft = Experiment(
        EXPERIMENT_ID,
        "What the model adds",
        ExperimentKind.HOLDOUT,
        HOLDOUT_SHARE,
        HORIZON_DAYS,
        created_at=shop.start,
    )
    create_experiment(store, artifacts, incarnation, draft)
    start_experiment(store, artifacts, incarnation, EXPERIMENT_ID, now=shop.start)
    return store.experiment(incarnation, EXPERIMENT_ID)


def _play_both(
    store: DynamoStore, artifacts: ArtifactStore, shop: Bookshop, experiment: Experiment
) -> dict[str, dict[str, Life]]:
    """For each variant, the lives of all readers if everybody were in it."""
    recommender = Recommender(store, artifacts)
    lives = {}
    visits = sum(len(reader.visits) for reader in shop.readers)
    for variant, share in ((experiment.control, 0.0), (experiment.treatment, 1.0)):
        state = replace(_state(store), experiments=(replace(experiment, share=share),))

        def recommend(user_id: str, history: History, now: float, state: ProgramState = state) -> RecommendationList:
            return recommender.recommend(
                state, history, now=now, limit=LIMIT, allow_repeats=True, explained=False, user_id=user_id
            )

        with tqdm(total=visits, desc=f"  everybody in {variant}", unit=" visits") as bar:
            lives[variant] = play(shop, recommend, progress=bar.update)
    return lives


def _log_lines(store: DynamoStore, served: Mapping[str, Life]) -> Iterator[tuple[str, str]]:
    """The log lines of the answers, with their ids, as the function ``decisions`` gets them."""
    program = _state(store).program
    salts = dict(store.user_salts(program.incarnation))
    for user_id, life in served.items():
        user = UserRead(None, None, None, None, {}, salts.get(user_id))
        for shown in life.shown:
            actions = shown.actions
            decision = decision_of(
                program,
                user_id,
                user,
                (
                    DecidedAction(entry.event_type, entry.asset_id, entry.growth_weight, entry.base_weight)
                    for entry in actions.recommendations
                ),
                recommendation_id=shown.recommendation_id,
                now=shown.time,
                dialect=ACTIONHUB,
                model=actions.model_version,
                filter=None,
                filter_values={},
                allow_repeats=True,
                limit=LIMIT,
                experiments=actions.experiments,
            )
            yield shown.recommendation_id, json.dumps(decision_fields(decision, program))
