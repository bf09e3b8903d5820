"""Offline evaluation of the model against the classic methods: ``./nextbest evaluate FILE``.

Global time split: everything before the test window is there to learn and tune from. The window is what to predict: all
that each user did in it, or (``--targets next``) their first visit, for discoveries the first with something new. Full
ranking, no sampled candidates.
"""
