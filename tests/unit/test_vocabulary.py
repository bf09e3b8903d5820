"""Messages of errors speak the caller's dialect: no field or word of ActionHub in Personalize, and the reverse.

The messages are the texts in the code that errors are made from. Modules that both dialects use say nothing that only
one of them has a word for.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from nextbest import errors
from nextbest.errors import NextbestError, ProgramNotFound, SupersededSecret
from nextbest.personalize.protocol.errors import Protocol, wire_error
from tests.infrastructure.cloudformation import ROOT

PACKAGE = ROOT / "layers" / "nextbest" / "nextbest"
ACTIONHUB_FIELDS = (
    r"program[-_]ids?|asset_(ids?|name)|event_(type|id|timestamp|relevance_decay)s?|user_ids?|actionhub[-_]key|"
    r"min_weight|queue_updates|never_recommended"
)
ACTIONHUB = re.compile(rf"\b(?i:{ACTIONHUB_FIELDS}|programs?|assets?|actionhub|rebases?)\b")
PERSONALIZE = re.compile(
    r"\b(\w+Arn|\w+ARN|datasetType|trackingId|userId|sessionId|actionId|itemId|eventType|eventId|sentAt|eventList|"
    r"actionInteractions|numResults|filterExpression|filterValues|campaigns?|dataset groups?|datasets?|"
    r"solution versions?|solutions?|\w+Exception)\b"
)
ONE_DIALECT_S = {
    "logic/programs.py": "program_id must be 1 to 63 letters",  # create_program: POST /programs alone calls it
    "logic/narrowing.py": "The program has no filter",  # of GET /users/{user_id}/actions
    "store/keys.py": "no incarnation",
}
"""Messages in shared modules that only one dialect's callers get to see."""

PATHS = re.compile(r"\b(GET|PUT|POST|DELETE) /\S+")
"""Where a message names a call of the service's own API, it names it as it is."""


def modules(folder: str) -> list[Path]:
    return sorted(path for path in (PACKAGE / folder).rglob("*.py"))


@cache
def error_names() -> frozenset[str]:
    """The names of all classes of errors that our code defines."""
    names = {name for name, value in vars(errors).items() if isinstance(value, type)}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and {getattr(base, "id", "") for base in node.bases} & names:
                names.add(node.name)
    return frozenset(names)


def messages(path: Path) -> Iterator[str]:
    """The texts that errors in a module are made from: in the call itself, or in a variable that it is given."""
    tree = ast.parse(path.read_text())
    for scope in ast.walk(tree):
        if not isinstance(scope, ast.FunctionDef | ast.Module):
            continue
        given: set[str] = set()
        for node in ast.walk(scope):
            if isinstance(node, ast.Call) and _name(node.func) in error_names():
                for argument in node.args:
                    yield from _texts(argument)
                    given.update(name.id for name in ast.walk(argument) if isinstance(name, ast.Name))
        # Names of one function are not those of another; those of the module are everybody's.
        for node in scope.body if isinstance(scope, ast.Module) else ast.walk(scope):
            if isinstance(node, ast.Assign) and given & {_name(target) for target in node.targets}:
                yield from _texts(node.value)


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _texts(node: ast.expr) -> Iterator[str]:
    """The texts in an expression; what an f-string fills in is left out."""
    if isinstance(node, ast.JoinedStr):
        yield "…".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    else:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                yield from _texts(child)


def found(folder: str, words: re.Pattern[str]) -> list[str]:
    return [
        f"{path.relative_to(PACKAGE)}: {message}"
        for path in modules(folder)
        for message in messages(path)
        if words.search(PATHS.sub("", message))
        and ONE_DIALECT_S.get(str(path.relative_to(PACKAGE)), "\0") not in message
    ]


def test_the_messages_are_found() -> None:
    texts = [message for path in modules("") for message in messages(path)]

    assert len(texts) > 250
    assert any("Missing Authentication Token" in text for text in texts)
    assert any("is not supported by the recipe" in text for text in texts)


def test_personalize_says_nothing_in_actionhub_s_words() -> None:
    assert found("personalize", ACTIONHUB) == []


def test_actionhub_says_nothing_in_personalize_s_words() -> None:
    assert found("actionhub", PERSONALIZE) == []


@pytest.mark.parametrize("folder", ["domain", "filters", "store", "aws", "web", "logic"])
def test_what_both_dialects_use_names_no_field_of_either(folder: str) -> None:
    fields = re.compile(rf"\b({ACTIONHUB_FIELDS})\b")

    assert found(folder, fields) == []
    if folder != "filters":  # the language is Personalize's own, also where ActionHub takes an expression
        assert found(folder, re.compile(PERSONALIZE.pattern.replace("|datasets?", ""))) == []


@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize("error", [ProgramNotFound("shop"), SupersededSecret(), NextbestError("x")])
def test_what_errors_share_is_said_in_personalize_s_words(error: NextbestError, protocol: Protocol) -> None:
    assert not ACTIONHUB.search(wire_error(error, protocol).message)
