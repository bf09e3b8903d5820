"""What each endpoint takes, typed: one frozen dataclass an endpoint.

The annotations are the contract: they drive validation, and the OpenAPI document is generated from them. Defaults are
the contract's defaults. No pydantic here, so that the hot path can build these by hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from nextbest.actionhub.parameters import Body, Bounds, Header, Path, Query
from nextbest.domain.events import Event

# The contract's bounds, and ours where it gives none; the schemas and the hand-written path share them.
MAX_USER_ID_CHARACTERS = 256
# Time, event type and asset id share a sort key of 1,024 bytes, of which a character may take four.
MAX_EVENT_TYPE_CHARACTERS = 128
MAX_ASSET_ID_CHARACTERS = 64
MAX_LABEL_CHARACTERS = 64
MAX_LABELS = 100
MAX_ENTRIES = 1000
# Lambda takes 6 MB with the gateway's own envelope and its escapes around the body.
MAX_BODY_BYTES = 4 * 1024 * 1024
MAX_LIMIT = 100
MAX_PAGE_SIZE = 100
MAX_PROGRAMS_OF_A_KEY = 100
MAX_KEY_ID_CHARACTERS = 128
DAY_SECONDS = 24 * 3600
MAX_OVERLAP_SECONDS = 90 * DAY_SECONDS

MatchType = Literal["any", "all"]
SegmentType = Literal["growth", "discovery", "base"]
SegmentBasis = Literal["assets", "labels"]
KeyScope = Literal["read", "write", "admin"]

ProgramId = Annotated[str, Header("The program that the call is about.")]
UserId = Annotated[str, Path("The user, as events name them.", Bounds(max_length=MAX_USER_ID_CHARACTERS))]
Search = Annotated[str, Query("Only entries with this text in any field; upper and lower case are alike.")]
Page = Annotated[int, Query("Which page, from 1.", Bounds(ge=1))]
Size = Annotated[int, Query("How many entries a page has.", Bounds(ge=1, le=MAX_PAGE_SIZE))]
MinWeight = Annotated[float, Query("The least weight that makes a user a member.", Bounds(ge=0, allow_inf_nan=False))]
ForceRefresh = Annotated[bool, Query("Compute anew instead of answering from the last rebase.")]


KeyId = Annotated[str, Path("The key's id: what stands before the dot.", Bounds(max_length=MAX_KEY_ID_CHARACTERS))]


def comma_list(text: str) -> tuple[str, ...]:
    """The distinct, stripped, non-empty entries of a comma-separated list, in order."""
    return tuple(dict.fromkeys(entry for entry in (part.strip() for part in text.split(",")) if entry))


@dataclass(frozen=True, slots=True)
class GetActions:
    """GET /users/{user_id}/actions"""

    user_id: UserId
    program_id: ProgramId
    limit: Annotated[int, Query("How many actions at most.", Bounds(ge=1, le=MAX_LIMIT))] = 10
    allow_repeats: Annotated[bool, Query("Whether actions that the user took before may be recommended.")] = True
    explain: Annotated[bool, Query("Add the reasons of every recommendation (an extension).")] = False


@dataclass(frozen=True, slots=True)
class UserInput:
    """GET /users/{user_id}/labels, GET /users/{user_id}/events and PUT /users/{user_id}/rebase"""

    user_id: UserId
    program_id: ProgramId


@dataclass(frozen=True, slots=True)
class PostEvents:
    """POST /events"""

    program_id: ProgramId
    events: Annotated[tuple[Event, ...], Body("UserEventList")]
    queue_updates: Annotated[bool, Query("Answer once the events are queued, before they are stored.")] = False
    process_user_actions: Annotated[
        bool, Query("False for back-fill: store the events without refreshing recommendations.")
    ] = True


@dataclass(frozen=True, slots=True)
class ProgramInput:
    """Every endpoint that takes nothing but the program: /random/user_id, /program, /program/{rebase,status,reset}"""

    program_id: ProgramId


@dataclass(frozen=True, slots=True)
class GetPage:
    """GET /assets and GET /labels"""

    program_id: ProgramId
    search: Search = ""
    page: Page = 1
    size: Size = 50


@dataclass(frozen=True, slots=True)
class AssetChange:
    """An asset to create or change. None: not given, so what is stored stays."""

    asset_id: str
    asset_name: str | None = None
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class PostAssets:
    """POST /assets"""

    program_id: ProgramId
    assets: Annotated[tuple[AssetChange, ...], Body("AssetList")]


@dataclass(frozen=True, slots=True)
class LabelWeight:
    """A label and the operator's weight for it."""

    label: str
    weight: float


@dataclass(frozen=True, slots=True)
class PutLabels:
    """PUT /labels"""

    program_id: ProgramId
    labels: Annotated[tuple[LabelWeight, ...], Body("LabelList")]


@dataclass(frozen=True, slots=True)
class GetPrograms:
    """GET /programs"""

    program_id: Annotated[str | None, Header("Only this program, of those that the key opens.")] = None


@dataclass(frozen=True, slots=True)
class ProgramSettings:
    """What an operator sets on a program. ``program_id`` is the body's own, None where it names none."""

    program_name: str
    high_engagement_threshold: int
    event_relevance_decay: int
    action_weight_floor: float
    description: str
    program_id: str | None = None


@dataclass(frozen=True, slots=True)
class PostPrograms:
    """POST /programs"""

    settings: Annotated[ProgramSettings, Body("NewProgram")]


@dataclass(frozen=True, slots=True)
class PutProgram:
    """PUT /program"""

    program_id: ProgramId
    settings: Annotated[ProgramSettings, Body("NewProgram")]


@dataclass(frozen=True, slots=True)
class GetSegment:
    """GET /segment. ``asset_ids`` wins over ``labels``; read the lists with :func:`comma_list`."""

    program_id: ProgramId
    asset_ids: Annotated[str, Query("Assets, separated by commas. They win over labels.")] = ""
    labels: Annotated[str, Query("Labels, separated by commas.")] = ""
    action_types: Annotated[str, Query("Event types, separated by commas; none: all of them.")] = ""
    match_type: Annotated[MatchType, Query("Whether a member has any or all of the assets or labels.")] = "any"
    segment_type: Annotated[SegmentType, Query("Recommended; recommended and new to the user; or in the history.")] = (
        "growth"
    )
    min_weight: MinWeight = 0.5
    force_refresh: ForceRefresh = False


@dataclass(frozen=True, slots=True)
class GetSegments:
    """GET /segments"""

    program_id: ProgramId
    segment_type: Annotated[SegmentType, Query("Recommended; recommended and new to the user; or in the history.")] = (
        "growth"
    )
    segment_basis: Annotated[SegmentBasis, Query("A segment for every asset, or for every label.")] = "labels"
    min_weight: MinWeight = 0.5
    force_refresh: ForceRefresh = False
    page: Page = 1
    size: Size = 50


@dataclass(frozen=True, slots=True)
class GetExport:
    """GET /users/{user_id}/export (an extension)"""

    user_id: UserId
    program_id: ProgramId
    skip: Annotated[int, Query("How many events to leave out: next_skip of the answer before.", Bounds(ge=0))] = 0


@dataclass(frozen=True, slots=True)
class GetKeys:
    """GET /keys (an extension)"""


@dataclass(frozen=True, slots=True)
class KeySettings:
    """What a new key opens, and for what."""

    programs: tuple[str, ...]
    scopes: tuple[KeyScope, ...]
    name: str


@dataclass(frozen=True, slots=True)
class PostKeys:
    """POST /keys (an extension)"""

    settings: Annotated[KeySettings, Body("NewKey")]


@dataclass(frozen=True, slots=True)
class PutKey:
    """PUT /keys/{key_id} (an extension)"""

    key_id: KeyId
    overlap_seconds: Annotated[
        int,
        Query("How long the old secret works beside the new one.", Bounds(ge=0, le=MAX_OVERLAP_SECONDS)),
    ] = DAY_SECONDS


@dataclass(frozen=True, slots=True)
class DeleteKey:
    """DELETE /keys/{key_id} (an extension)"""

    key_id: KeyId
