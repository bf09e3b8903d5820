"""No secret is in the repository: keys of clouds and services, private keys, tokens, passwords in URLs.

Detectors by entropy and by words like "secret" are left out: they take hashes, samples and our own key derivation for
secrets. The one key that stands in the repository opens local stacks alone and says so (``tools/local/key.py``).
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from detect_secrets.core.scan import scan_file
from detect_secrets.settings import default_settings

from tests.infrastructure.cloudformation import ROOT

BY_GUESS = {"Hex High Entropy String", "Base64 High Entropy String", "Secret Keyword"}


def secrets_in(path: Path) -> list[str]:
    """What looks like a secret in a file, as ``<file>:<line> <kind>``."""
    with default_settings():
        found = list(scan_file(str(path)))
    return [f"{path}:{secret.line_number} {secret.type}" for secret in found if secret.type not in BY_GUESS]


def test_no_secret_is_in_the_repository() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    files = [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]

    assert len(files) > 100
    assert [secret for path in files for secret in secrets_in(path)] == []


def test_a_secret_would_be_seen(tmp_path: Path) -> None:
    leak = tmp_path / "settings.py"
    # Put together here, so that this very file holds none.
    leak.write_text(f'key = "AKIA{"Q3EGRIDMVPEXAQ2T"}"\n-----BEGIN RSA {"PRIVATE"} KEY-----\n')

    assert [secret.rpartition(":")[2] for secret in secrets_in(leak)] == ["1 AWS Access Key", "2 Private Key"]
