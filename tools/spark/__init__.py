"""The Spark job of rebases that are too large for one process. pyspark is imported here alone; the logic is elsewhere.

rebase.py        what is run: the event that the rebase function gets, as JSON
session.py       Spark on this machine, or the one that the job was submitted to
event_files.py   files of events into ranges of users
partitions.py    sums over these: the library's ``Partitions``
event_log.py     the library's ``EventLog``: what a rebase does with the events
"""
