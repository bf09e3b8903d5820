"""The statuses of a rebase, in order."""

CREATED = "program_created"
QUEUED = "program_rebase_queued"
STARTED = "program_rebase_started"
LOADING = "program_events_loading"
TRAINING = "program_model_training"
SEGMENTING = "program_segments_building"
REFRESHING = "program_histories_refreshing"
COMPLETE = "program_user_graph_complete"  # clients poll for this name
FAILED = "program_rebase_failed"
RESET = "program_reset"
"""What rebases computed was removed, and none has begun since."""
UNFINISHED = frozenset({QUEUED, STARTED, LOADING, TRAINING, SEGMENTING, REFRESHING})

RUN_SECONDS = 900.0
"""Lambda ends a rebase after that time (Timeout in template.yaml)."""

LEASE_SECONDS = RUN_SECONDS + 60.0
"""How long one run may keep others from training the program: a minute more than it can take, as clocks differ."""

WAIT_SECONDS = 21_600.0
"""Lambda discards an invocation that could not start within that time (MaximumEventAgeInSeconds in template.yaml), and
EMR Serverless a Spark job (QueueTimeoutMinutes there)."""

SPARK_MINUTES = 720
"""EMR Serverless cancels the run of a Spark job after that time."""

RENEWAL_SECONDS = 240.0
"""How often a Spark job renews the lease and says that it is alive: well within the time after which it is lost."""

_RETRY_SECONDS = 120.0
"""Lambda retries a failed invocation once, after about a minute."""


def is_lost(silent_seconds: float, *, waiting: bool) -> bool:
    """Whether a run that last reported ``silent_seconds`` ago must have died. ``waiting``: it has not started yet."""
    return silent_seconds > RUN_SECONDS + _RETRY_SECONDS + (WAIT_SECONDS if waiting else 0.0)
