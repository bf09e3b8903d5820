"""Offline evaluation of the model against the classic methods: ``python -m tools.evaluation FILE``."""
