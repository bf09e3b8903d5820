"""Access keys: which programs a caller may use, and for what.

A key has a public id and a secret. Only the SHA-256 of the secret is stored (the secret has 256 random bits, so a slow
hash would add cost and no safety). The same pair serves all clients: some send ``<key id>.<secret>`` in one header, AWS
SDKs use the id as access key id and sign with the secret. So that signatures can be checked without storing secrets, a
secret is derived from the deployment's master secret.
"""

from __future__ import annotations

import base64
import hmac
import re
from dataclasses import dataclass, replace
from hashlib import sha256

from nextbest.domain.programs import Incarnation, program_id_of
from nextbest.errors import Forbidden, NextbestError

READ = "read"
WRITE = "write"
ADMIN = "admin"
SCOPES = (READ, WRITE, ADMIN)

PROGRAM_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
"""The form of a program's id. Others are refused before anything is read: no program can have them."""

KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
"""The form of a key's id. Others are refused before anything is read: no key can have them."""

_KEY_TEXT = re.compile(rf"({KEY_ID.pattern})\.([A-Za-z0-9_-]{{1,128}})")


@dataclass(frozen=True, slots=True)
class AccessKey:
    """One key. ``programs`` are the programs it opens; an empty tuple with ``admin`` opens every program.

    They are incarnations: a key never opens a program that was created later under the same id.

    Times are seconds since 1970. Rotation begins a new ``generation`` with a secret of its own; the one before goes on
    working until ``previous_expires_at``, except that it manages no keys (``Gate.authenticate_manager``).
    ``expires_at`` ends the key as a whole, ``revoked`` ends it at once.
    """

    key_id: str
    secret_hash: str
    programs: tuple[Incarnation, ...]
    scopes: tuple[str, ...]
    generation: int = 1
    expires_at: float | None = None
    revoked: bool = False
    name: str = ""
    created_at: float = 0.0
    previous_hash: str = ""
    previous_expires_at: float = 0.0

    def accepts(self, secret: str, *, now: float) -> bool:
        """Whether ``secret`` is this key's, and the key is active."""
        digest = hash_secret(secret)
        current = hmac.compare_digest(digest, self.secret_hash)
        previous = hmac.compare_digest(digest, self.previous_hash) and now < self.previous_expires_at
        return (current or previous) and self.is_active(now=now)

    def is_current(self, secret: str) -> bool:
        """Whether ``secret`` is that of the current generation, rather than of the one before."""
        return hmac.compare_digest(hash_secret(secret), self.secret_hash)

    def generations(self, *, now: float) -> tuple[int, ...]:
        """The generations whose secrets work, newest first: for signatures, which do not say which one they used."""
        if not self.is_active(now=now):
            return ()
        overlaps = bool(self.previous_hash) and now < self.previous_expires_at
        return (self.generation, self.generation - 1) if overlaps else (self.generation,)

    def is_active(self, *, now: float) -> bool:
        """Neither revoked nor expired."""
        return not self.revoked and (self.expires_at is None or now < self.expires_at)

    @property
    def opens_every_program(self) -> bool:
        """Whether the key is an operator's."""
        return not self.programs and ADMIN in self.scopes

    def opens(self, incarnation: Incarnation) -> bool:
        """Whether the key opens this incarnation of a program."""
        return incarnation in self.programs or self.opens_every_program

    def incarnation_of(self, program_id: str) -> Incarnation | None:
        """The incarnation of a program that the key names; None where it names none, as an operator's does."""
        return next((named for named in self.programs if program_id_of(named) == program_id), None)

    def require(self, incarnation: Incarnation, scope: str, *, hidden: NextbestError | None = None) -> None:
        """Raise Forbidden unless the key opens ``incarnation`` for ``scope``, whether or not the program exists.

        ``hidden`` is raised instead where the key does not open the program at all.
        """
        if not self.opens(incarnation):
            raise hidden or Forbidden("the access key does not open the program")
        if not self.allows(scope):
            raise Forbidden(f"the access key lacks the scope {scope}")

    def allows(self, scope: str) -> bool:
        """Whether the key has ``scope``; admin includes the others, and write includes read."""
        if ADMIN in self.scopes:
            return True
        return scope in self.scopes or (scope == READ and WRITE in self.scopes)


def hash_secret(secret: str) -> str:
    """Hex SHA-256, as stored."""
    return sha256(secret.encode()).hexdigest()


def derive_secret(master_secret: str, key_id: str, generation: int) -> str:
    """The secret of a key: HMAC-SHA-256 of its id and generation under the master secret, URL-safe base64."""
    digest = hmac.new(master_secret.encode(), f"nextbest-key:{key_id}:{generation}".encode(), sha256).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def issue_key(
    master_secret: str, key_id: str, *, programs: tuple[Incarnation, ...], scopes: tuple[str, ...], generation: int = 1
) -> tuple[AccessKey, str]:
    """A new key, and its text: shown once, never stored."""
    secret = derive_secret(master_secret, key_id, generation)
    key = AccessKey(key_id, hash_secret(secret), programs, scopes, generation)
    return key, key_text(master_secret, key)


def key_text(master_secret: str, key: AccessKey) -> str:
    """The text of a key's current generation: ``<key id>.<secret>``."""
    return f"{key.key_id}.{derive_secret(master_secret, key.key_id, key.generation)}"


def first_key_text(master_secret: str, key_id: str) -> str:
    """The text that a key had when it was new."""
    return f"{key_id}.{derive_secret(master_secret, key_id, 1)}"


def rotate_key(master_secret: str, key: AccessKey, *, now: float, overlap_seconds: float) -> AccessKey:
    """The key's next generation. The one before works for ``overlap_seconds`` more."""
    generation = key.generation + 1
    return replace(
        key,
        secret_hash=hash_secret(derive_secret(master_secret, key.key_id, generation)),
        generation=generation,
        previous_hash=key.secret_hash,
        previous_expires_at=now + overlap_seconds,
    )


def split_key(text: str) -> tuple[str, str]:
    """The key id and secret in a key's text. Raises Forbidden for text of another form."""
    parts = _KEY_TEXT.fullmatch(text)
    if parts is None:
        raise Forbidden("this cannot be the text of an access key")
    return parts[1], parts[2]
