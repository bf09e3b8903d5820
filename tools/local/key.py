"""The parameters, the master secret and the operator's key of every local stack; they are public."""

from __future__ import annotations

from urllib.parse import urlencode

from nextbest.console.sessions import ticket_of
from nextbest.domain.access_keys import SCOPES, AccessKey, issue_key
from nextbest.store.master_secret import PUBLIC_MASTER_SECRET

IMPORT_BUCKET = "imports-local"
"""Every program may import from the folder of its id in this bucket."""

# Keys are derived from this. It protects nothing: the stack listens on this machine only, and prints its key.
MASTER_SECRET = PUBLIC_MASTER_SECRET
PARAMETERS = {"Stage": "local", "ProgramFoldersBucket": IMPORT_BUCKET}
_KEY_ID = "NBKLOCALSTACKDEMOKEY"


def operator_key() -> tuple[AccessKey, str]:
    """The key that opens every program of a local stack, and the text that clients send."""
    return issue_key(MASTER_SECRET, _KEY_ID, programs=(), scopes=SCOPES)


def console_link(url: str, program_id: str, *, now: float) -> str:
    """The address that opens a program in the console of the local stack at ``url``, signed in for some hours."""
    query = {"ticket": ticket_of(operator_key()[0], MASTER_SECRET, now=now), "next": f"/console/programs/{program_id}"}
    return f"{url}/console/enter?{urlencode(query)}"
