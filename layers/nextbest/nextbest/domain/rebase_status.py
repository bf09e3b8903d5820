"""What ``GET /program/status`` may say of a rebase, in order."""

CREATED = "program_created"
QUEUED = "program_rebase_queued"
STARTED = "program_rebase_started"
LOADING = "program_events_loading"
TRAINING = "program_model_training"
SEGMENTING = "program_segments_building"
REFRESHING = "program_histories_refreshing"
COMPLETE = "program_user_graph_complete"  # the contract's word; clients poll for it
FAILED = "program_rebase_failed"
UNFINISHED = frozenset({QUEUED, STARTED, LOADING, TRAINING, SEGMENTING, REFRESHING})

RUN_SECONDS = 900.0
"""Lambda ends a rebase after that long, whatever it does (Timeout in template.yaml)."""

WAIT_SECONDS = 3600.0
"""Lambda forgets an invocation that could not begin for that long (MaximumEventAgeInSeconds in template.yaml)."""

_RETRY_SECONDS = 120.0
"""Lambda tries an invocation that was ended once more, after about a minute."""


def is_lost(silent_seconds: float, *, waiting: bool) -> bool:
    """Whether a run that last said something so long ago was ended without a word. ``waiting``: it has not begun."""
    return silent_seconds > RUN_SECONDS + _RETRY_SECONDS + (WAIT_SECONDS if waiting else 0.0)
