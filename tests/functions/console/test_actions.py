"""The page Actions: the catalogue with its counts, and one action with what goes together with it."""

from __future__ import annotations

import html
import re
import time

import pytest

from nextbest.domain.actions import Action
from nextbest.domain.assets import Asset, FieldValue
from nextbest.logic.recommendations import Recommender
from nextbest.logic.segment_reading import SegmentCache
from nextbest.scoring import Model
from nextbest.scoring.leads import leads_of
from nextbest.store.environment import open_artifacts
from tests.factories import DAY_SECONDS
from tests.functions.conftest import PROGRAM, Functions
from tests.functions.console.conftest import Browser, Shown

HOSTILE = '"><script>alert(1)</script>\u202eא😀'


def put_assets(browser: Browser, *assets: Asset) -> None:
    browser.functions.store.put_assets(PROGRAM.incarnation, list(assets))


def model_of(functions: Functions) -> Model:
    state = functions.store.program_state(PROGRAM.program_id)
    assert state is not None
    _, served = Recommender(functions.store, open_artifacts(clock=time.time)).loaded(state, now=time.time())
    assert served is not None
    return served[1]


def rows(shown: Shown) -> list[list[str]]:
    """The cells of the page's tables."""
    listed = []
    for row in re.findall(r"<tr>(.*?)</tr>", shown.body, flags=re.DOTALL):
        cells = re.findall(r"<td[^>]*>(.*?)</td>", row, flags=re.DOTALL)
        if cells:
            listed.append([" ".join(html.unescape(re.sub(r"<[^>]*>", " ", cell)).split()) for cell in cells])
    return listed


def test_the_catalogue_has_counts_of_users_from_the_segments(learned: Browser) -> None:
    segments = SegmentCache(learned.functions.store, open_artifacts(clock=time.time))
    (base,) = segments.segments_of(PROGRAM.incarnation, "base").parts()
    (growth,) = segments.segments_of(PROGRAM.incarnation, "growth").parts()

    shown = rows(learned.page("actions"))

    counts = {(row[0], row[1].split()[-1]): [int(cell) for cell in row[3:]] for row in shown}
    for place, action in enumerate(base.actions):
        takers = int(base.starts[place + 1] - base.starts[place])
        recommended = growth.users_of([[place]], 0.0, match_all=False)
        weights = [dict(growth.memberships(user)) for user in growth.users]
        likeliest = [own for own in weights if own.get(action, 0.0) == max(own.values())]
        # What nobody did or is recommended need not be listed.
        assert counts.get(action, [0, 0, 0]) == [takers, len(recommended), len(likeliest)], action
    assert [row[3] for row in shown] == sorted((row[3] for row in shown), key=int, reverse=True)


def test_actions_are_found_by_id_name_label_and_event_type(learned: Browser) -> None:
    put_assets(learned, Asset("latte", "Flat White", ("Hot drinks",)), Asset("mug", "Mug"))

    for search, expected in (
        ("LATTE", ["latte"]),
        ("flat w", ["latte"]),
        ("hot DRINKS", ["latte"]),
        ("join", ["club"]),
        ("mug", ["mug"]),
        ("", ["cake", "club", "espresso", "latte", "mug", "tea"]),
        ("nothing", []),
    ):
        shown = learned.page("actions", search=search, order="name")
        assert sorted(set(re.findall(r"asset_id=(\w+)", shown.body.partition("<tbody>")[2]))) == expected, search
    assert "No action matches" in learned.page("actions", search="nothing").text
    assert "nobody did anything with it" in learned.page("actions", search="mug").text


def test_fields_are_shown_in_words_and_what_expires_is_found(learned: Browser) -> None:
    now = time.time()
    fields: dict[str, FieldValue] = {"VALUE": 12, "CREATION_TIMESTAMP": 0, "REPEAT_FREQUENCY": 7, "SEASON": "winter"}
    put_assets(
        learned,
        Asset("latte", "Latte", (), {**fields, "ACTION_EXPIRATION_TIMESTAMP": round(now + 3 * DAY_SECONDS)}),
        Asset("tea", "Tea", (), {"ACTION_EXPIRATION_TIMESTAMP": round(now - 60)}),
        Asset("cake", "Cake", (), {"ACTION_EXPIRATION_TIMESTAMP": 10**18}),
        Asset("club", "Club", (), {"ACTION_EXPIRATION_TIMESTAMP": "soon"}),
    )

    text = learned.page("actions", search="latte").text
    for part in ("Value: 12", "Created: 1970-01-01 00:00 UTC", "Not again within (days): 7", "SEASON: winter"):
        assert part in text
    assert "expires soon" in text
    assert [row[1] for row in rows(learned.page("actions", validity="expiring"))] == ["Latte latte"]
    assert [row[1] for row in rows(learned.page("actions", validity="expired"))] == ["Tea tea"]
    assert rows(learned.page("actions", order="expiry"))[0][1] == "Tea tea"
    assert "It expired" in learned.page("actions", event_type="order", asset_id="tea").text


@pytest.mark.parametrize("mode", ["", "repeats"])
def test_one_action_shows_what_leads_to_it_and_what_it_leads_to(learned: Browser, mode: str) -> None:
    action = Action("order", "cake")
    leads = leads_of(model_of(learned.functions), action, again=bool(mode), now=time.time(), limit=15)
    if mode == "repeats":  # among three drinks that everybody took, nothing is new
        assert leads.causes
        assert leads.effects

    shown = learned.page("actions", **action._asdict(), mode=mode)

    _, _, rest = shown.body.partition("<h3>What leads to it</h3>")
    causes, _, effects = rest.partition("<h3>What it leads to</h3>")
    for part, expected in ((causes, leads.causes), (effects, leads.effects)):
        assert re.findall(r"asset_id=(\w+)", part) == [lead.action.asset_id for lead in expected]
        assert part.count('class="bar"') == len(expected)
    if mode == "repeats":
        assert "ordered “Tea”" in shown.text
    assert "Average probability" in shown.text
    assert "segments?event_type=order&amp;asset_id=cake&amp;kind=growth" in shown.body


def test_an_action_that_nobody_knows_is_a_404_with_its_name_as_text(learned: Browser) -> None:
    path = f"/console/programs/{PROGRAM.program_id}/actions"

    shown = learned.get(path, event_type=HOSTILE, asset_id=HOSTILE)

    assert shown.status == 404
    assert "knows nothing of this action" in shown.text
    assert "<script>alert" not in shown.body


def test_names_labels_fields_and_ids_are_text_and_never_markup(learned: Browser) -> None:
    put_assets(learned, Asset(HOSTILE[:60], HOSTILE, (HOSTILE,), {"NOTE": HOSTILE}), Asset("latte", HOSTILE))

    for page in (
        learned.page("actions", search="alert"),
        learned.page("actions", search=HOSTILE),
        learned.page("actions", asset_id=HOSTILE[:60]),
        learned.page("actions", event_type="order", asset_id="latte"),
    ):
        assert "<script>alert" not in page.body
        assert html.escape(HOSTILE).replace("&quot;", "&#34;") in page.body


def test_many_actions_come_in_pages_of_a_hundred(browser: Browser) -> None:
    put_assets(browser, *(Asset(f"asset-{number:03}", f"Name {number}") for number in range(250)))

    shown = browser.page("actions", order="name")

    assert "250 actions, 100 on this page" in shown.text
    assert len(rows(shown)) == 100
    last = browser.page("actions", order="name", page="3")
    assert len(rows(last)) == 50
    assert 'rel="next"' not in last.body
    assert rows(browser.page("actions", order="name", page="101")) == rows(last)


def test_a_program_without_anything_says_so(browser: Browser) -> None:
    assert "There are none yet" in browser.page("actions").text
    assert "no segments yet: rebase it first" in browser.page("actions").text


def test_a_model_that_cannot_be_read_leaves_the_catalogue(learned: Browser) -> None:
    state = learned.functions.store.program_state(PROGRAM.program_id)
    assert state is not None
    assert state.model is not None
    open_artifacts(clock=time.time).put(state.model.key, b"damaged")
    learned.functions.modules.pop("console", None)

    shown = learned.page("actions")
    assert "The model cannot be read just now" in shown.text
    assert len(rows(shown)) == 5
    one = learned.page("actions", event_type="order", asset_id="tea")
    assert "What leads to it" not in one.text
