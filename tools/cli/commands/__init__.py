"""The commands of ``./nextbest``: a file for each group, with its options and messages.

These modules are imported for every command, so they import little; what a command runs, it imports when it runs.
"""
