"""What marks the stored events and assets of this dialect: their sources, types and ids. Hot path: constants alone."""

# The event types of action interactions.
TAKEN = "TAKEN"
NOT_TAKEN = "NOT_TAKEN"
VIEWED = "VIEWED"

SOURCE = "personalize"
"""The source of events that were put with a user id."""

ANONYMOUS = "personalize-anonymous"
"""The source of events that came with a session id alone: only these may be joined to a user later."""

BULK_SOURCE = "personalize-import"
"""The source of imported events: this, a colon and the name of the import job."""

ITEM_ID = "ITEM_ID"
"""The field by which items are distinguished from actions among a program's assets."""
