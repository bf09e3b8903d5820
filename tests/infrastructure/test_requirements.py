"""Pins: what is deployed is what is tested, by hash, no address of an index, and one version of each package."""

from __future__ import annotations

import re
import sys
from importlib.metadata import version
from itertools import combinations
from pathlib import Path

import pytest

from nextbest.personalize.control.dispatch import MODEL
from tests.infrastructure.cloudformation import ROOT

# The minor versions of Python 3: the functions', and all that the local stack and the tests may run on.
DEPLOYED = 13
SUPPORTED = (11, 12, 13, 14)
PAIRS = [
    ("layers/nextbest/requirements.txt", "requirements/runtime.txt", frozenset[str]()),
    # numpy comes from the layer.
    ("functions/rebase/requirements.txt", "requirements/training.txt", frozenset({"numpy"})),
]


def pins(path: Path, *, python: int = DEPLOYED) -> dict[str, str]:
    """Name → version of what is installed on Python 3.``python``."""
    found = {}
    for line in path.read_text().splitlines():
        pin = re.match(r"^([\w.-]+)==([\w.]+)(?: ; python_full_version (<|>=) '3\.(\d+)')?", line)
        if pin is None:
            continue
        name, version, comparison, minor = pin.groups()
        if comparison is None or (comparison == ">=") == (python >= int(minor)):
            found[name] = version
    return found


@pytest.mark.parametrize(("deployed", "source", "elsewhere"), PAIRS)
def test_deployed_pins_are_the_tested_ones(deployed: str, source: str, elsewhere: frozenset[str]) -> None:
    expected = {name: version for name, version in pins(ROOT / source).items() if name not in elsewhere}

    assert expected
    assert pins(ROOT / deployed) == expected


@pytest.mark.parametrize("deployed", [pair[0] for pair in PAIRS])
def test_deployed_pins_have_hashes_and_no_index(deployed: str) -> None:
    text = (ROOT / deployed).read_text()

    assert len(re.findall(r"^\S+==\S+ \\\n    --hash=sha256:", text, re.MULTILINE)) == len(pins(ROOT / deployed))
    assert "index" not in text
    assert "://" not in text


@pytest.mark.parametrize("python", SUPPORTED)
@pytest.mark.parametrize(("one", "other"), list(combinations(("runtime", "training", "local", "dev"), 2)))
def test_lists_agree_on_every_package_they_share(one: str, other: str, python: int) -> None:
    left, right = (pins(ROOT / f"requirements/{name}.txt", python=python) for name in (one, other))
    shared = left.keys() & right.keys()

    assert shared
    assert {name: left[name] for name in shared} == {name: right[name] for name in shared}


def test_pins_with_conditions_are_all_understood() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        conditions = set(re.findall(r"^[\w.-]+==[^;\n]+ ; (.+?) \\$", path.read_text(), re.MULTILINE))
        pythons = {condition for condition in conditions if condition.startswith("python")}

        assert all(re.fullmatch(r"python_full_version (<|>=) '3\.\d+'", condition) for condition in pythons), path


def test_installed_packages_are_the_pinned_ones() -> None:
    """Whatever this list was installed from: tests of other versions would prove nothing about what is deployed."""
    pinned = pins(ROOT / "requirements/runtime.txt", python=sys.version_info.minor)

    assert {name: version(name) for name in pinned} == pinned


def test_lists_for_this_machine_hold_what_is_deployed() -> None:
    runtime, training, local, dev = (
        pins(ROOT / f"requirements/{name}.txt") for name in ("runtime", "training", "local", "dev")
    )

    assert runtime.keys() | training.keys() <= local.keys() <= dev.keys()


def test_layer_keeps_the_data_of_every_service_that_is_called_or_served_by_its_model() -> None:
    makefile = (ROOT / "layers/nextbest/Makefile").read_text()
    (services,) = re.findall(r"^SERVICES\s*:= (.+)$", makefile, re.MULTILINE)
    clients = (ROOT / "layers/nextbest/nextbest/aws/clients.py").read_text()
    called = set(re.findall(r'_client\("([\w-]+)"', clients))
    library = "".join(path.read_text() for path in (ROOT / "layers/nextbest/nextbest").rglob("*.py"))

    # Models are read by ``input_shape`` alone, and in the library for the control plane alone.
    assert re.findall(r"\bservice_model\((.+?)\)", library) == ["service: str", "service"]
    assert re.findall(r"\binput_shape\((.+?)[,:)]", library) == ["service", "MODEL"]
    assert set(services.split()) == called | {MODEL}


def test_every_direct_dependency_is_explained() -> None:
    page = (ROOT / "docs" / "dependencies.md").read_text()
    for path in (ROOT / "requirements").glob("*.in"):
        for line in path.read_text().splitlines():
            if line and not line.startswith(("#", "-")):
                name = re.split(r"[\[<>=]", line)[0]
                assert f"| {name} |" in page, f"{name} of {path.name}"


def test_every_explained_dependency_exists() -> None:
    page = (ROOT / "docs" / "dependencies.md").read_text()
    direct = "\n".join(path.read_text() for path in (ROOT / "requirements").glob("*.in"))

    explained = re.findall(r"^\| ([\w-]+) \|", page, re.MULTILINE)
    assert explained
    for name in explained:
        if name != "package":
            assert re.search(rf"^{name}\b", direct, re.MULTILINE), name
