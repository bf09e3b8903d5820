"""Offline evaluation of the model against the classic methods: ``./nextbest evaluate FILE``."""
