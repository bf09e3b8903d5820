"""Where stored events and assets of this dialect came from; a dataset is told by it. Hot path: constants alone."""

SOURCE = "personalize"
"""The source of events that were put with a user id."""

ANONYMOUS = "personalize-anonymous"
"""The source of events that came with a session id alone: only these may be taken for another's."""

BULK_SOURCE = "personalize-import"
"""The source of imported events: this, a colon and the name of the import job."""

ITEM_ID = "ITEM_ID"
"""The field that tells items apart from actions among a program's assets."""
