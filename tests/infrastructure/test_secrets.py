"""No secret is in the repository: keys of clouds and services, private keys, tokens, passwords in URLs.

Detectors by entropy and by words like "secret" are left out: they take hashes, samples and our own key derivation for
secrets. The one key that stands in the repository opens local stacks alone and says so (``tools/local/key.py``).
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from detect_secrets.core.scan import scan_file
from detect_secrets.plugins.base import RegexBasedDetector
from detect_secrets.settings import transient_settings

from tests.infrastructure.cloudformation import ROOT

BY_GUESS = {"HexHighEntropyString", "Base64HighEntropyString", "KeywordDetector"}
KINDS: list[type[RegexBasedDetector]] = list(get_mapping_from_secret_type_to_class().values())
DETECTORS = [kind for kind in KINDS if kind.__name__ not in BY_GUESS]


def patterns() -> list[re.Pattern[str]]:
    """Whatever a detector sees in some line of a text, one of these finds in the text."""
    assert all(issubclass(kind, RegexBasedDetector) for kind in DETECTORS)
    return [re.compile(seen.pattern, seen.flags | re.MULTILINE) for kind in DETECTORS for seen in kind().denylist]


def secrets_in(*paths: Path) -> list[str]:
    """What looks like a secret in the files, as ``<file>:<line> <kind>``.

    Scanning line by line with every detector takes a second for 50 kB: only files with something to see are scanned.
    """
    searched = patterns()
    texts = {path: path.read_text(errors="replace") for path in paths}
    suspicious = [path for path, text in texts.items() if any(pattern.search(text) for pattern in searched)]
    with transient_settings({"plugins_used": [{"name": kind.__name__} for kind in DETECTORS]}):
        return [f"{path}:{secret.line_number} {secret.type}" for path in suspicious for secret in scan_file(str(path))]


def test_no_secret_is_in_the_repository() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    files = [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]

    assert len(files) > 100
    assert secrets_in(*files) == []


def test_a_secret_would_be_seen(tmp_path: Path) -> None:
    leak = tmp_path / "settings.py"
    # Put together here, so that this very file holds none.
    leak.write_text(f'key = "AKIA{"Q3EGRIDMVPEXAQ2T"}"\n-----BEGIN RSA {"PRIVATE"} KEY-----\n')

    assert [secret.rpartition(":")[2] for secret in secrets_in(leak)] == ["1 AWS Access Key", "2 Private Key"]
