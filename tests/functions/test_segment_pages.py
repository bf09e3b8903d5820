"""The users of a segment in pages, by the function that answers them."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from tests.functions.conftest import Functions
from tests.functions.test_samples import run

USERS = ["a/b", "ada", "bob", "carlos", "zoë", "日本"]


def test_the_users_of_a_segment_come_in_pages_in_order_of_their_ids(functions: Functions) -> None:
    # Given users who all did the same
    def everybody(event: Any) -> Any:
        row = json.loads(event["body"])["events"][0]
        return {**event, "body": json.dumps({"events": [{**row, "user_id": user_id} for user_id in USERS]})}

    run(functions, "collect/post-events", everybody)
    run(functions, "rebase/program")

    def page(**query: object) -> list[str]:
        query_string = urlencode({"segment_type": "base", "min_weight": 0, **query})
        response = run(functions, "manage/get-segment", lambda event: {**event, "rawQueryString": query_string})
        assert response["statusCode"] == 200
        return str(response["body"]).splitlines()

    # When they are read page by page
    pages = [page(limit=4)]
    while len(pages[-1]) == 4:
        pages.append(page(limit=4, after=pages[-1][-1]))

    # Then all come once, as without pages
    assert [len(users) for users in pages] == [4, 2]
    assert [user_id for users in pages for user_id in users] == sorted(page()) == sorted(USERS)
