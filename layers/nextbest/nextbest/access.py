"""Access keys: what opens a program, and for what.

A key has a public id and a secret. At rest only the SHA-256 of the secret is kept (the secret has 256 random bits, so
a slow hash would add cost and no safety). The same pair serves both dialects: ActionHub clients send
``<key id>.<secret>`` in one header, AWS SDKs use the id as access key id and sign with the secret. So that signatures
can be checked without storing secrets, a secret is derived from the deployment's master secret.
"""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass
from hashlib import sha256

from nextbest.errors import Forbidden

READ = "read"
WRITE = "write"
ADMIN = "admin"
SCOPES = (READ, WRITE, ADMIN)


@dataclass(frozen=True, slots=True)
class AccessKey:
    """One key. ``programs`` are the programs it opens; an empty tuple with ``admin`` opens every program.

    ``expires_at`` (seconds since 1970) ends the overlap period of a rotated key; ``revoked`` ends it at once.
    """

    key_id: str
    secret_hash: str
    programs: tuple[str, ...]
    scopes: tuple[str, ...]
    generation: int = 1
    expires_at: float | None = None
    revoked: bool = False

    def accepts(self, secret: str, *, now: float) -> bool:
        """Whether ``secret`` is this key's, and the key still stands."""
        same = hmac.compare_digest(hash_secret(secret), self.secret_hash)
        return same and self.stands(now=now)

    def stands(self, *, now: float) -> bool:
        """Neither revoked nor expired."""
        return not self.revoked and (self.expires_at is None or now < self.expires_at)

    def opens(self, program_id: str) -> bool:
        """Whether the key opens ``program_id``."""
        return program_id in self.programs or (not self.programs and ADMIN in self.scopes)

    def require(self, program_id: str, scope: str) -> None:
        """Raise Forbidden unless the key opens ``program_id`` for ``scope``; says nothing of whether it exists."""
        if not self.opens(program_id) or not self.allows(scope):
            raise Forbidden("Could not validate API KEY")

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
    master_secret: str, key_id: str, *, programs: tuple[str, ...], scopes: tuple[str, ...], generation: int = 1
) -> tuple[AccessKey, str]:
    """A new key, and the text a client sends in ``actionhub-key``: shown once, never stored."""
    secret = derive_secret(master_secret, key_id, generation)
    return AccessKey(key_id, hash_secret(secret), programs, scopes, generation), f"{key_id}.{secret}"


def split_key(text: str) -> tuple[str, str]:
    """Key id and secret of an ``actionhub-key`` header. Raises Forbidden where it cannot be one."""
    key_id, dot, secret = text.partition(".")
    if not (key_id and dot and secret):
        raise Forbidden("Could not validate API KEY")
    return key_id, secret
