"""What browsers load: as others published it, and small."""

from __future__ import annotations

import base64
import hashlib
import tomllib
from importlib.resources import files

import pytest

from nextbest.console import assets
from nextbest.web.request import Request

STATIC = files("nextbest.console").joinpath("static")
VENDOR = tomllib.loads(STATIC.joinpath("vendor", "vendor.toml").read_text())


@pytest.mark.parametrize("name", VENDOR)
def test_scripts_of_others_are_unchanged(name: str) -> None:
    for file, integrity in VENDOR[name]["files"].items():
        digest = hashlib.sha256(STATIC.joinpath("vendor", file).read_bytes()).digest()
        assert integrity == f"sha256-{base64.b64encode(digest).decode()}"


def test_every_script_of_others_is_listed_and_served() -> None:
    present = {path.name for path in STATIC.joinpath("vendor").iterdir() if path.name.endswith((".js", ".css"))}
    listed = {file for package in VENDOR.values() for file in package["files"]}

    assert present == listed
    assert {f"vendor/{file}" for file in listed} <= assets.CONTENT_TYPES.keys()


def test_all_assets_together_are_under_90_kilobytes_packed() -> None:
    """A page adds less than ten: together under the 100 kB that a first page may have."""
    request = Request("GET", "/", headers={"accept-encoding": "gzip"})
    packed = [assets.answer(assets.address(name), request) for name in assets.CONTENT_TYPES]

    assert all(response.headers["content-encoding"] == "gzip" for response in packed)
    assert sum(len(response.body) for response in packed) < 90_000
