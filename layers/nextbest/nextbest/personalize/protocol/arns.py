"""Amazon resource names of Personalize: how a name becomes an ARN and an ARN a name.

Clients build ARNs from names, with a region and account of their own, so only the resource part counts when one is
read. Source: docs/contracts/personalize.md, section 8.2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nextbest.domain.programs import Incarnation
from nextbest.errors import InvalidInput, NotFound
from nextbest.store import base

DATASET_GROUP = "dataset-group"
SCHEMA = "schema"
DATASET = "dataset"
IMPORT_JOB = "dataset-import-job"
EVENT_TRACKER = "event-tracker"
SOLUTION = base.SOLUTION  # the ARN of a version is that of a solution named <name>/<8 hex>
VERSION = base.VERSION  # only the store names it so
CAMPAIGN = base.CAMPAIGN
FILTER = base.FILTER
METRIC_ATTRIBUTION = "metric-attribution"  # there are none
RECIPE = "recipe"
ALGORITHM = "algorithm"
FEATURE_TRANSFORMATION = "feature-transformation"

RECIPE_NAME = "aws-next-best-action"
"""The one recipe there is; its algorithm and its feature transformation have the same name."""

ARN_PATTERN = r"arn:([a-z\d-]+):personalize:.*:.*:.+"
MAX_ARN_CHARACTERS = 256

_ARN = re.compile(r"arn:[a-z\d-]+:personalize:[^:]*:[^:]*:(?P<kind>[a-z-]+)/(?P<name>[^\s:]+)")


@dataclass(frozen=True, slots=True)
class Arns:
    """Makes the ARNs of one deployment. ``account_id`` is twelve digits."""

    region: str = "us-east-1"
    account_id: str = "000000000000"

    def of(self, kind: str, name: str) -> str:
        """The ARN of the resource ``name`` of ``kind``; what AWS itself provides has neither region nor account."""
        if kind in (RECIPE, ALGORITHM, FEATURE_TRANSFORMATION):
            return f"arn:aws:personalize:::{kind}/{name}"
        return f"arn:aws:personalize:{self.region}:{self.account_id}:{kind}/{name}"


def split_arn(arn: str, *, field: str) -> tuple[str, str]:
    """Kind and name in ``arn``, whatever its region and account. Raises InvalidInput for what is no Personalize ARN."""
    match = _ARN.fullmatch(arn)
    if match is None or len(arn) > MAX_ARN_CHARACTERS:
        raise InvalidInput(
            f"The {field} is not a valid ARN: an ARN looks like arn:aws:personalize:<region>:<account>:<kind>/<name> "
            f"and has at most {MAX_ARN_CHARACTERS} characters",
            field=field,
        )
    return match["kind"], match["name"]


def name_in(arn: str, kind: str, *, field: str) -> str:
    """The name in an ARN that must be of ``kind``. Raises InvalidInput."""
    actual_kind, name = split_arn(arn, field=field)
    if actual_kind != kind:
        raise InvalidInput(f"The {field} must be the ARN of a {kind}, not of a {actual_kind}", field=field)
    return name


def owner_of(resource: Mapping[str, Any]) -> Incarnation:
    """The program that a stored resource belongs to; ``DEPLOYMENT`` where it belongs to none."""
    return Incarnation(resource["incarnation"])


def missing(arn: str) -> NotFound:
    """The error for a resource that does not exist, and for one that the caller may not know of."""
    return NotFound(f"Resource Arn {arn} does not exist.")
