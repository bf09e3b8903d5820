"""Lift: what an experiment, a policy or a growth weight was worth, from decisions and outcomes. Pure; needs scipy.

attribution   outcomes credited to decisions, and each user's window for intention to treat
"""
