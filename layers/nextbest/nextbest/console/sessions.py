"""Who is signed in: a signed cookie that names an access key, and the token that proves that a form is ours.

The cookie holds a key's id, the generation of its secret and when it was made, never the secret. It is worth as much as
the stored key: a key that was revoked, has expired or was rotated out opens nothing any more.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from itsdangerous import BadData, URLSafeSerializer

from nextbest.domain.access_keys import AccessKey
from nextbest.errors import Forbidden
from nextbest.logic.authorization import REFUSED, SecretCredentials

COOKIE = "nextbest_console"
MAX_AGE_SECONDS = 12 * 3600
"""How long a session lasts, whatever happens in it."""

_LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
_SESSION, _TICKET = "nextbest-console-session", "nextbest-console-ticket"


@dataclass(frozen=True, slots=True)
class Session:
    """A sign-in with the secret of one generation of a key; ``began`` in seconds since 1970.

    Implements ``logic.authorization.Credentials``.
    """

    key_id: str
    generation: int
    began: float

    def prove(self, key: AccessKey | None, *, now: float) -> AccessKey:
        """``key``, if the session's generation of its secret still works. Raises Forbidden."""
        if key is None or now - self.began >= MAX_AGE_SECONDS or self.generation not in key.generations(now=now):
            raise Forbidden(REFUSED)
        return key

    def proves_current(self, key: AccessKey, _now: float, /) -> bool:
        """Whether the key was not rotated since."""
        return self.generation == key.generation


def begin(key: AccessKey, credentials: SecretCredentials, *, now: float) -> Session:
    """The session of a caller who proved ``key`` with ``credentials``."""
    generation = key.generation if credentials.proves_current(key, now) else key.generation - 1
    return Session(key.key_id, generation, now)


def sealed(session: Session, master_secret: str) -> str:
    """The session as the value of its cookie."""
    return _serializer(master_secret, _SESSION).dumps([session.key_id, session.generation, session.began])


def unsealed(value: str, master_secret: str) -> Session:
    """The session in a cookie's value. Raises Forbidden where we did not sign it."""
    return _read(value, master_secret, _SESSION)


def ticket_of(key: AccessKey, master_secret: str, *, now: float) -> str:
    """What signs in whoever has it, on a local stack: its start prints a link with one."""
    return _serializer(master_secret, _TICKET).dumps([key.key_id, key.generation, now])


def admitted(ticket: str, master_secret: str, *, now: float) -> Session:
    """A new session for a ticket. Raises Forbidden where we did not sign it; its age is that of a session."""
    session = _read(ticket, master_secret, _TICKET)
    if now - session.began >= MAX_AGE_SECONDS:
        raise Forbidden(REFUSED)
    return Session(session.key_id, session.generation, now)


def form_token(cookie: str, master_secret: str) -> str:
    """The token that forms of a session carry, which other sites cannot know."""
    return hmac.new(master_secret.encode(), f"nextbest-console-form:{cookie}".encode(), sha256).hexdigest()


def session_cookie(cookies: Iterable[str]) -> str:
    """The value of our cookie; empty where there is none."""
    prefix = f"{COOKIE}="
    return next((cookie[len(prefix) :] for cookie in cookies if cookie.startswith(prefix)), "")


def set_cookie(value: str, *, path: str, host: str) -> str:
    """The header that sets our cookie, or with an empty value removes it. Browsers send it to ``path`` alone.

    Only over TLS, except to this machine, where there is none.
    """
    name, _, port = host.rpartition(":")
    secure = "" if (name if port.isdecimal() else host).lower() in _LOCAL_HOSTS else " Secure;"
    age = MAX_AGE_SECONDS if value else 0
    return f"{COOKIE}={value}; Path={path}; Max-Age={age}; HttpOnly;{secure} SameSite=Strict"


def _serializer(master_secret: str, salt: str) -> URLSafeSerializer:
    return URLSafeSerializer(
        master_secret, salt=salt, signer_kwargs={"digest_method": sha256, "key_derivation": "hmac"}
    )


def _read(value: str, master_secret: str, salt: str) -> Session:
    try:
        key_id, generation, began = _serializer(master_secret, salt).loads(value)
    except BadData as error:
        raise Forbidden(REFUSED) from error
    return Session(key_id, generation, began)
