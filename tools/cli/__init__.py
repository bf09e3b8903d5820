"""The command line, ``./nextbest``.

__main__.py        the parser of all commands
commands/          a file for each group of commands: options and messages
deployment.py      the resources of a deployment, and clients for them
doctor.py          checks of a deployment
dead_letters.py    messages that could not be ingested
load*.py           loading a file of events
"""
