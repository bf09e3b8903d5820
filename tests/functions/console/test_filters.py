"""The page Filters: what an expression leaves, where one stops, and filters with a name."""

from __future__ import annotations

import html
import time
from functools import partial

import pytest

from nextbest.domain.access_keys import READ, WRITE
from nextbest.domain.actions import Narrowing
from nextbest.domain.assets import Asset
from nextbest.logic.filters import MOST_FILTERS, filters_of
from nextbest.logic.recommendations import Recommender
from nextbest.store.base import FILTER
from nextbest.store.environment import open_artifacts
from tests.functions.conftest import PROGRAM, Functions
from tests.functions.console.conftest import Browser, Shown, key_with

DRINKS = 'INCLUDE ActionID WHERE Actions.LABELS IN ("drink")'
BY_LABEL = "INCLUDE ActionID WHERE Actions.LABELS IN ($LABEL)"
HOSTILE = '"><script>alert(1)</script>\u202eא😀'


@pytest.fixture
def labelled(learned: Browser) -> Browser:
    """The learned program, where latte and tea are drinks."""
    drinks = [Asset(asset_id, asset_id.title(), ("drink",)) for asset_id in ("latte", "tea")]
    learned.functions.store.put_assets(PROGRAM.incarnation, drinks)
    return learned


def stored_names(functions: Functions) -> list[str]:
    return [resource["name"] for resource in filters_of(functions.store, PROGRAM.incarnation)]


def preview(browser: Browser, **query: str) -> Shown:
    """The part that changes while somebody types."""
    path = f"/console/programs/{PROGRAM.program_id}/filters"
    shown = browser.get(path, headers={"hx-request": "true"}, **query)
    assert shown.status == 200
    assert "<html" not in shown.body
    return shown


def test_a_filter_is_previewed_on_a_user_and_the_catalogue(labelled: Browser) -> None:
    shown = labelled.page("filters", expression=DRINKS, user_id="user-0")

    assert "Actions 2 of 5" in shown.text
    assert "Assets 2 of 5" in shown.text
    answer = recommended(labelled, DRINKS)
    assert {action["asset_id"] for action in answer} == {"latte", "tea"}
    table = shown.body.partition("would get</h3>")[2].partition("</table>")[0]
    names = [action["asset_name"] for action in answer]
    assert [name for name in sorted(names, key=table.index) if name in table] == names
    assert "Cake" not in table


def recommended(browser: Browser, expression: str) -> list[dict[str, str]]:
    """What the API answers for user-0 with the filter."""
    store, now = browser.functions.store, time.time()
    recommender = Recommender(store, open_artifacts(clock=time.time))
    user, state = store.read_user(PROGRAM.incarnation, "user-0"), store.program_state(PROGRAM.program_id)
    assert state is not None
    assert user.history is not None
    answer = recommender.recommend(
        state,
        user.history,
        now=now,
        limit=10,
        allow_repeats=True,
        explained=False,
        narrow=partial(recommender.narrower.narrowed, Narrowing(filter=expression), user, state),
    )
    return [
        {"asset_id": entry.asset_id, "asset_name": answer.catalogue.name_of(entry.asset_id)}
        for entry in answer.recommendations
    ]


@pytest.mark.parametrize(
    ("expression", "problem", "position"),
    [
        ("INCLUDE ActionID WHERE", "Invalid Expression", 22),
        ("INCLUDE ActionID\r\nWHERE Actions.LABELS = ?", '"?" has no meaning here', 40),
        ("INCLUDE ActionID WHERE Actions.NOWHERE", "", 38),
        ('EXCLUDE ActionID WHERE Users.AGE = "x"', "not by Users", 23),
        ("WHERE", "", 0),
    ],
)
def test_the_parser_s_message_stands_under_the_character_where_it_stops(
    learned: Browser, expression: str, problem: str, position: int
) -> None:
    shown = learned.page("filters", expression=expression)

    assert problem in shown.text
    assert 'aria-invalid="true"' in shown.body
    assert 'aria-describedby="filter-problem"' in shown.body
    place = html.unescape(shown.body.partition('<pre class="place"')[2].partition("<code>")[2].partition("</code>")[0])
    line, caret = place.split("\n")
    assert caret.endswith("^")
    if "\r" not in expression:
        assert line == expression
        assert len(caret) - 1 == position
    assert 'data-name="aria-invalid" data-value="true"' in preview(learned, expression=expression).body
    assert "Create this filter" not in shown.text


def test_a_filter_of_a_user_s_actions_says_that_it_depends_on_the_user(labelled: Browser) -> None:
    expression = 'EXCLUDE ActionID WHERE Action_Interactions.EVENT_TYPE IN ("order")'

    nobody = labelled.page("filters", expression=expression)
    assert "somebody who did nothing" in nobody.text
    assert "Actions 5 of 5" in nobody.text
    somebody = labelled.page("filters", expression=expression, user_id="user-0")
    assert "These numbers are for user-0" in somebody.text
    assert "Actions 1 of 5" in somebody.text


def test_parameters_get_fields_and_their_values_decide(labelled: Browser) -> None:
    empty = labelled.page("filters", expression=BY_LABEL)
    assert "Give a value for LABEL" in empty.text
    assert 'name="value.LABEL"' in empty.body

    full = preview(labelled, expression=BY_LABEL, **{"value.LABEL": '"drink","other"', "value.OLD": "x"})
    assert "Actions 2 of 5" in full.text
    assert "filter_values=" in full.body
    assert "OLD" not in full.text

    broken = preview(labelled, expression=BY_LABEL, **{"value.LABEL": '"drink'})
    assert "cannot be read at character 1" in broken.text


def test_filters_of_items_and_users_who_are_not_known_are_said_to_be(labelled: Browser) -> None:
    items = labelled.page("filters", expression='INCLUDE ItemID WHERE Items.GENRE IN ("x")')
    assert "selects ItemID, not ActionID" in items.text
    stranger = labelled.page("filters", expression=DRINKS, user_id="nobody")
    assert "knows nothing of the user nobody" in stranger.text
    for user_id in ("x" * 300, "a\nb"):
        assert "The user's id" in labelled.page("filters", expression=DRINKS, user_id=user_id).text


def test_a_filter_is_created_listed_and_deleted_as_by_the_control_plane(labelled: Browser) -> None:
    created = labelled.submit("filters/create", name="drinks", expression=DRINKS)
    assert created.status == 303
    assert "Created drinks" in labelled.get(created.headers["location"]).text

    stored = labelled.functions.store.resource(PROGRAM.incarnation, FILTER, "drinks")
    assert stored is not None
    assert stored["expression"] == DRINKS
    assert stored["schema"] == {"Actions": {"LABELS": "string"}}
    assert stored["status"] == "ACTIVE"
    assert html.escape(DRINKS, quote=False) in labelled.page("filters").body.replace("&#34;", '"')

    assert labelled.submit("filters/delete", name="drinks").status == 303
    assert stored_names(labelled.functions) == []
    assert labelled.submit("filters/delete", name="drinks").status == 404


def test_what_the_control_plane_refuses_is_refused_here_in_words(labelled: Browser) -> None:
    assert labelled.submit("filters/create", name="drinks", expression=DRINKS).status == 303

    taken = labelled.submit("filters/create", name="drinks", expression=DRINKS)
    assert (taken.status, "There is a filter drinks already" in taken.text) == (409, True)
    for name in ("", "-x", "a b", "x" * 64, HOSTILE):
        refused = labelled.submit("filters/create", name=name, expression=DRINKS)
        assert refused.status == 400
        assert "A name has 1 to 63 letters" in refused.text
        assert "<script>alert" not in refused.body
    for expression in ("", "WHERE", "x" * 2501):
        assert labelled.submit("filters/create", name="other", expression=expression).status == 400
    assert stored_names(labelled.functions) == ["drinks"]


def test_a_program_has_so_many_filters_and_no_more(browser: Browser) -> None:
    store = browser.functions.store
    for number in range(MOST_FILTERS):
        store.create_resource(PROGRAM.incarnation, FILTER, f"f{number}", stored_filter(f"f{number}"))

    refused = browser.submit("filters/create", name="one-more", expression=DRINKS)

    assert refused.status == 400
    assert "at most 30 filters" in refused.text


def stored_filter(name: str) -> dict[str, object]:
    return {"name": name, "expression": DRINKS, "schema": {"Actions": {"LABELS": "string"}}, "created": 0.0}


def test_a_key_that_may_not_manage_previews_and_sees_no_names(labelled: Browser) -> None:
    labelled.submit("filters/create", name="secret-offer", expression=DRINKS)
    reader = Browser(labelled.functions)
    reader.sign_in(key_with(labelled.functions, READ, WRITE))

    shown = reader.page("filters", expression=DRINKS)

    assert "Actions 2 of 5" in shown.text
    assert "secret-offer" not in shown.body
    assert "Create this filter" not in shown.text
    assert reader.submit("filters/create", name="x", expression=DRINKS).status == 403
    assert reader.submit("filters/delete", name="secret-offer").status == 403
    assert stored_names(labelled.functions) == ["secret-offer"]


def test_a_program_without_events_or_model_has_its_filters(browser: Browser) -> None:
    assert "There are none yet" in browser.page("filters").text
    shown = browser.page("filters", expression=DRINKS, user_id="user-0")
    assert "Actions 0 of 0" in shown.text
    assert "Before the first rebase" in shown.text


def test_a_model_that_cannot_be_read_is_said_to_be(labelled: Browser) -> None:
    functions = labelled.functions
    state = functions.store.program_state(PROGRAM.program_id)
    assert state is not None
    assert state.model is not None
    functions.modules.pop("console")
    open_artifacts(clock=time.time).put(state.model.key, b"damaged")

    shown = labelled.page("filters", expression=DRINKS)

    assert "model cannot be read" in shown.text


def test_expressions_and_ids_are_text_and_never_markup(labelled: Browser) -> None:
    for page in (
        labelled.page("filters", expression=HOSTILE, user_id=HOSTILE),
        labelled.page("filters", expression=BY_LABEL, **{"value.LABEL": HOSTILE}),
        labelled.page("filters", created=HOSTILE),
    ):
        assert "<script>alert" not in page.body
        assert html.escape(HOSTILE)[:20].replace("&quot;", "&#34;") in page.body
