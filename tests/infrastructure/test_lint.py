"""Both linters, on the template as written and as translated: each finds what the other misses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.infrastructure.cloudformation import REGION, ROOT, TEMPLATE, Document, read_template
from tools.cli.resource_import import BUCKET, TABLE, retained_part


def run(*command: str) -> None:
    variables = {"SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": REGION, "AWS_EC2_METADATA_DISABLED": "true"}
    program, *arguments = command
    result = subprocess.run(
        [str(Path(sys.executable).with_name(program)), *arguments],
        capture_output=True,
        text=True,
        env=os.environ | variables,
        cwd=ROOT,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_sam_finds_no_fault() -> None:
    run("sam", "validate", "--lint", "--template", str(TEMPLATE), "--region", REGION)


def test_cfn_lint_finds_no_fault_in_what_cloudformation_gets(template: Document, tmp_path: Path) -> None:
    translated = tmp_path / "template.json"
    translated.write_text(json.dumps(template))

    run("cfn-lint", "--regions", REGION, "--template", str(translated))


def test_cfn_lint_finds_no_fault_in_what_a_retained_table_and_bucket_are_imported_with(tmp_path: Path) -> None:
    part = retained_part(read_template())
    document = tmp_path / "retained.json"
    document.write_text(json.dumps(part))

    assert part["Resources"].keys() == {TABLE, BUCKET}
    # CloudFormation imports nothing that would be deleted with the stack by default.
    assert {resource["DeletionPolicy"] for resource in part["Resources"].values()} == {"Retain"}
    run("cfn-lint", "--regions", REGION, "--template", str(document))
