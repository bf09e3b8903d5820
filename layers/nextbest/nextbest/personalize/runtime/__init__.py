"""The client ``personalize-runtime``: GetActionRecommendations."""
