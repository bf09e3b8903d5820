"""What ``GET /program/status`` may say of a rebase, in order."""

QUEUED = "program_rebase_queued"
STARTED = "program_rebase_started"
LOADING = "program_events_loading"
TRAINING = "program_model_training"
SEGMENTING = "program_segments_building"
REFRESHING = "program_histories_refreshing"
COMPLETE = "program_user_graph_complete"  # the contract's word; clients poll for it
FAILED = "program_rebase_failed"
