"""The program's experiments: drafting, running and ending them, and what each shows."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from nextbest.console.awaited import AwaitedResult, query_of
from nextbest.console.experiment_forms import ExperimentForm, field_of, members_of
from nextbest.console.experiment_results import days_of, plan_of, results_of
from nextbest.console.paging import page_of
from nextbest.console.visits import Route, Visit
from nextbest.domain.access_keys import ADMIN, PROGRAM_ID, READ
from nextbest.domain.experiments import ChallengerSettings, Experiment, ExperimentKind, ExperimentState
from nextbest.errors import AlreadyExists, InUse, InvalidInput, NotFound
from nextbest.logic import experiments
from nextbest.logic.models import versions_of
from nextbest.logic.report_files import stored_report
from nextbest.web.response import Response

_ROWS_OF_A_PAGE = 20
"""The page reads a report for each row."""
_READS_AT_ONCE = 8
_OFFERED_VERSIONS = 50
_ORDER = (ExperimentState.RUNNING, ExperimentState.DRAFT, ExperimentState.STOPPED)

_EXAMPLES = {
    ExperimentKind.HOLDOUT: {"name": "What the model adds", "kind": "holdout", "share": 0.1},
    ExperimentKind.CHALLENGER: {
        **{"name": "A higher floor", "kind": "challenger", "share": 0.5},
        "challenger": {"action_weight_floor": 0.1},
    },
}


@dataclass(frozen=True, slots=True)
class ListedExperiment:
    """A row of the list; ``verdict`` is that of the newest report, empty where there is none."""

    experiment: Experiment
    since: float
    verdict: str


def show_all(visit: Visit) -> Response:
    """The list: what runs first, then drafts, then what is over; the newest of each first."""
    everything = sorted(
        visit.services.store.experiments(visit.incarnation),
        key=lambda each: (_ORDER.index(each.state), -_since(each)),
    )
    page = page_of(everything, visit, rows_of_a_page=_ROWS_OF_A_PAGE)
    with ThreadPoolExecutor(_READS_AT_ONCE) as pool:
        reports = list(pool.map(lambda each: _report(visit, each), page.rows))
    rows = [
        ListedExperiment(each, _since(each), report["verdict"] if report is not None else "")
        for each, report in zip(page.rows, reports, strict=True)
    ]
    return visit.page("experiments.html", title="Experiments", page=page, rows=rows, deleted=visit.parameter("deleted"))


def show(visit: Visit) -> Response:
    """One experiment, and its newest report."""
    return _shown(visit, _experiment(visit, visit.parameter("experiment_id")))


def progress(visit: Visit) -> Response:
    """Whether there is a newer report or plan now: then the page is loaded again."""
    experiment = _experiment(visit, visit.parameter("experiment_id"))
    awaited = _awaited(visit, experiment, _report(visit, experiment))
    if awaited.is_computing and visit.is_partial:
        return visit.part("awaited.html", awaited=awaited)
    return visit.see_other("experiments/show", experiment_id=experiment.experiment_id, **awaited.query)


def draft(visit: Visit) -> Response:
    """The form of a new experiment."""
    kind = _kind(visit.parameter("kind", ExperimentKind.HOLDOUT))
    return _form(visit, ExperimentForm(kind))


def create(visit: Visit) -> Response:
    """Store a draft, as POST /experiments does."""
    program, services, form = visit.state.program, visit.services, _posted(visit)
    members, problems = members_of(visit.form, horizon_days=program.horizon_days)
    name = members.get("name", "")
    experiment_id = members.get("experiment_id") or experiments.new_experiment_id(name, random=services.random)

    def store() -> None:
        values = {"name": "", "share": 0.0, "horizon_days": program.horizon_days, **members}
        values |= {"experiment_id": experiment_id, "kind": form.kind, "created_at": visit.now}
        experiments.create_experiment(services.store, services.artifacts, visit.incarnation, Experiment(**values))

    refused = _refused(form, problems, store)
    if refused is not None:
        return _form(visit, refused)
    return visit.see_other("experiments/show", experiment_id=experiment_id)


def edit(visit: Visit) -> Response:
    """The form that changes an experiment."""
    experiment = _experiment(visit, visit.parameter("experiment_id"))
    return _form(visit, ExperimentForm.of(experiment), experiment=experiment)


def change(visit: Visit) -> Response:
    """Change an experiment, as PUT /experiments/{experiment_id} does."""
    experiment = _experiment(visit, visit.form.get("experiment_id", ""))
    fields = {name: value for name, value in visit.form.items() if name != "experiment_id"}
    members, problems = members_of(fields, horizon_days=visit.state.program.horizon_days)

    def store() -> None:
        experiments.change_experiment(
            visit.services.store, visit.services.artifacts, visit.incarnation, experiment.experiment_id, members
        )

    refused = _refused(ExperimentForm(experiment.kind, fields), problems, store)
    if refused is not None:
        return _form(visit, refused, experiment=experiment)
    return visit.see_other("experiments/show", experiment_id=experiment.experiment_id)


def start(visit: Visit) -> Response:
    """Run a draft from now on."""
    services = visit.services
    return _act(
        visit,
        lambda name: experiments.start_experiment(
            services.store, services.artifacts, visit.incarnation, name, now=visit.now
        ),
    )


def stop(visit: Visit) -> Response:
    """End an experiment."""
    return _act(
        visit,
        lambda name: experiments.stop_experiment(visit.services.store, visit.incarnation, name, now=visit.now),
    )


def promote(visit: Visit) -> Response:
    """Make what a challenger changes the program's own."""
    services = visit.services
    return _act(
        visit,
        lambda name: experiments.promote_experiment(
            services.store, services.artifacts, visit.incarnation, name, now=visit.now
        ),
    )


def delete(visit: Visit) -> Response:
    """Delete an experiment that does not run."""
    experiment = _experiment(visit, visit.form.get("experiment_id", ""))
    try:
        experiments.delete_experiment(
            visit.services.store, visit.services.artifacts, visit.incarnation, experiment.experiment_id
        )
    except InUse as error:
        return _shown(visit, experiment, problem=error.message)
    return visit.see_other("experiments", deleted=experiment.experiment_id)


def compute(visit: Visit) -> Response:
    """Have the report computed in the background, as PUT /experiments/{experiment_id}/report does."""
    return _compute(visit, "experiment", experiments.require_started)


def plan(visit: Visit) -> Response:
    """Have a draft planned in the background, as PUT /experiments/{experiment_id}/plan does."""
    return _compute(visit, "plan", experiments.require_draft)


def _compute(visit: Visit, job: str, require: Callable[[Experiment], None]) -> Response:
    """Start a job of the function rebase; the page's address then says what is awaited."""
    experiment = _experiment(visit, visit.form.get("experiment_id", ""))
    try:
        require(experiment)
    except InUse as error:
        return _shown(visit, experiment, problem=error.message)
    before = _computed_at(experiment, _report(visit, experiment))
    visit.services.start_report(visit.incarnation, **{job: experiment.experiment_id})
    return visit.see_other("experiments/show", experiment_id=experiment.experiment_id, **query_of(before, visit.now))


def _act(visit: Visit, call: Callable[[str], None]) -> Response:
    """Do something with the experiment that a form names; what is refused is said on its page."""
    experiment = _experiment(visit, visit.form.get("experiment_id", ""))
    try:
        call(experiment.experiment_id)
    except InUse as error:
        return _shown(visit, experiment, problem=error.message)
    return visit.see_other("experiments/show", experiment_id=experiment.experiment_id)


def _refused(form: ExperimentForm, problems: Mapping[str, str], store: Callable[[], None]) -> ExperimentForm | None:
    """The form with what is wrong with it; None once it is stored."""
    if problems:
        return replace(form, problems=problems)
    try:
        store()
    except InvalidInput as error:
        return replace(form, problems={field_of(error): error.message})
    except AlreadyExists as error:
        return replace(form, problems={"experiment_id": error.message})
    except InUse as error:
        return replace(form, problems={"": error.message})
    return None


def _form(
    visit: Visit,
    form: ExperimentForm,
    *,
    experiment: Experiment | None = None,
) -> Response:
    """The form of a new experiment, or the one that changes ``experiment``."""
    served = versions_of(visit.services.store, visit.state, now=visit.now)
    offered = [version.name for version in served[:_OFFERED_VERSIONS]]
    chosen = form.value("model_version")
    if chosen and chosen not in offered:
        offered.append(chosen)
    if experiment is None:
        command = visit.curl("POST", "/experiments", body=json.dumps(_EXAMPLES[form.kind]))
    else:
        body = json.dumps({"name": experiment.name}, ensure_ascii=False)
        command = visit.curl("PUT", f"/experiments/{experiment.experiment_id}", body=body)
    return visit.page(
        "experiment_form.html",
        title=f"New {form.kind}" if experiment is None else f"Change {experiment.name}",
        http_status=400 if form.problems else 200,
        form=form,
        experiment=experiment,
        versions=offered,
        serving=visit.state.model.version if visit.state.model is not None else "",
        command=command,
    )


def _posted(visit: Visit) -> ExperimentForm:
    return ExperimentForm(_kind(visit.form.get("kind", "")), visit.form)


def _kind(text: str) -> ExperimentKind:
    try:
        return ExperimentKind(text)
    except ValueError as error:
        raise InvalidInput(f"An experiment is one of {', '.join(ExperimentKind)}", field="kind") from error


def _shown(visit: Visit, experiment: Experiment, *, problem: str = "") -> Response:
    report = _report(visit, experiment)
    path = f"/experiments/{experiment.experiment_id}"
    return visit.page(
        "experiment.html",
        title=experiment.name,
        http_status=409 if problem else 200,
        experiment=experiment,
        problem=problem,
        changes=_changes(experiment.challenger),
        report=report,
        results=results_of(report) if report is not None else [],
        days=days_of(report) if report is not None else None,
        is_old=report is not None and report["now"] < _last_change(experiment),
        plan=plan_of(experiment.plan, experiments.headline_of(visit.state.program, experiment))
        if experiment.plan
        else "",
        path=path,
        awaited=_awaited(visit, experiment, report),
    )


def _last_change(experiment: Experiment) -> float:
    """When the experiment was started or stopped."""
    return experiment.stopped_at or experiment.started_at or experiment.created_at


def _changes(settings: ChallengerSettings) -> list[tuple[str, str]]:
    """What a challenger changes: names of the API, and values as text."""
    texts = []
    for name, value in settings.to_json().items():
        if isinstance(value, bool):
            texts.append((name, "true" if value else "false"))
        elif isinstance(value, (tuple, list)):
            texts.append((name, ", ".join(value) or "none"))
        else:
            texts.append((name, str(value)))
    return texts


def _awaited(visit: Visit, experiment: Experiment, report: Mapping[str, Any] | None) -> AwaitedResult:
    """Whether a report, or of a draft a plan, is being computed."""
    name, computed_at = "plan" if experiment.started_at is None else "report", _computed_at(experiment, report)
    return AwaitedResult.of(visit, name, "experiments/progress", computed_at, experiment_id=experiment.experiment_id)


def _computed_at(experiment: Experiment, report: Mapping[str, Any] | None) -> float:
    """When the newest report was computed, or of a draft the plan; 0 where there is none."""
    if report is not None:
        return float(report["now"])
    return experiment.plan.made_at if experiment.plan is not None and experiment.started_at is None else 0.0


def _report(visit: Visit, experiment: Experiment) -> Mapping[str, Any] | None:
    """The newest report; None where there is none."""
    if experiment.started_at is None:
        return None
    try:
        return stored_report(visit.services.artifacts, visit.incarnation, experiment.experiment_id)
    except NotFound:
        return None


def _experiment(visit: Visit, experiment_id: str) -> Experiment:
    """An experiment of the program. Raises NotFound."""
    if not PROGRAM_ID.fullmatch(experiment_id):  # no experiment has another
        raise NotFound("There is no such experiment")
    return visit.services.store.experiment(visit.incarnation, experiment_id)


def _since(experiment: Experiment) -> float:
    """When the experiment came into its state."""
    match experiment.state:
        case ExperimentState.RUNNING:
            time = experiment.started_at
        case ExperimentState.STOPPED:
            time = experiment.stopped_at
        case _:
            time = experiment.created_at
    return time if time is not None else experiment.created_at


ROUTES = (
    Route("GET", "experiments", READ, show_all),
    Route("GET", "experiments/show", READ, show),
    Route("GET", "experiments/progress", READ, progress),
    Route("GET", "experiments/new", ADMIN, draft),
    Route("GET", "experiments/edit", ADMIN, edit),
    Route("POST", "experiments/create", ADMIN, create),
    Route("POST", "experiments/change", ADMIN, change),
    Route("POST", "experiments/start", ADMIN, start),
    Route("POST", "experiments/stop", ADMIN, stop),
    Route("POST", "experiments/promote", ADMIN, promote),
    Route("POST", "experiments/delete", ADMIN, delete),
    Route("POST", "experiments/plan", ADMIN, plan),
    Route("POST", "experiments/report", ADMIN, compute),
)
