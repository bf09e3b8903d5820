"""Lift: what an experiment, a policy or a growth weight was worth, from decisions and outcomes. Pure; needs scipy.

- attribution: outcomes credited to decisions, to the last and to any
- windows: each user's window for intention to treat
- intervals: those that stay valid while one looks every day, and those that do not
- comparison: variants of an experiment: rates, difference, ratio, adjusted by what was before; sample ratio
- power: how many more days until an effect shows
- off_policy: the value of a policy that never served
- draws: what exploration drew, as a log to judge such a policy by
- calibration: growth weights against what came true, by week
- days: how an experiment came to its result, for a plot
- columns, report: from decisions and outcomes, one after the other, to all of it for one experiment
"""
