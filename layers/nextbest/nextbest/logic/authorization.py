"""Authentication and authorization: one gate for every route of both dialects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from nextbest.domain.access_keys import PROGRAM_ID, AccessKey, split_key
from nextbest.domain.programs import Incarnation
from nextbest.errors import Forbidden, NotFound, SupersededSecret
from nextbest.store.base import ConfigurationStore, ProgramState
from nextbest.store.cache import AccessKeyCache, RememberedKey

REFUSED = "The access key is not known, or does not open this"
PROGRAM_NOT_FOUND = "Program not found"


class Credentials(Protocol):
    """What a caller sends to prove that they hold an access key."""

    @property
    def key_id(self) -> str:
        """The key that the caller claims to hold."""
        ...

    def prove(self, key: AccessKey | None, *, now: float) -> AccessKey:
        """``key``, the stored key of ``key_id``, once the caller has proved to hold it. Raises Forbidden."""
        ...

    def proves_current(self, key: AccessKey, now: float, /) -> bool:
        """Whether the proof of ``key`` was made with its current secret, not with the one from before a rotation."""
        ...


@dataclass(frozen=True, slots=True)
class SecretCredentials:
    """A key's id and its secret, sent as they are."""

    key_id: str
    secret: str

    @classmethod
    def read(cls, key_text: str | None) -> SecretCredentials:
        """The credentials in a key's text. Raises Forbidden where it is missing or malformed."""
        if key_text is None:
            raise Forbidden(REFUSED)
        return cls(*split_key(key_text))

    def prove(self, key: AccessKey | None, *, now: float) -> AccessKey:
        """``key``, if the secret is one of its own and the key is active. Raises Forbidden."""
        if key is None or not key.accepts(self.secret, now=now):
            raise Forbidden(REFUSED)
        return key

    def proves_current(self, key: AccessKey, _now: float, /) -> bool:
        """Whether the secret is that of the key's current generation."""
        return key.is_current(self.secret)


class Gate:
    """Authenticates callers and authorizes what they do.

    A key that was proved is not read again for ``current_seconds``.
    """

    def __init__(self, store: ConfigurationStore, *, current_seconds: float = 5.0) -> None:
        self._store = store
        self._keys = AccessKeyCache(current_seconds=current_seconds)

    def identify(self, credentials: Credentials, *, now: float) -> RememberedKey:
        """The caller's key as it is remembered, where they prove to hold that copy; otherwise as it is stored.

        Nothing is read for a caller who has proved nothing but their own key. A copy that is no longer current tells
        what to read together with the stored key, which then decides (``confirm``). Raises Forbidden.
        """
        remembered = self._keys.get(credentials.key_id, now=now)
        if remembered is not None:
            try:
                credentials.prove(remembered.key, now=now)
                return remembered
            except Forbidden:  # the copy may be older than a rotation: the store decides
                pass
        return RememberedKey(self._read(credentials, now=now), current=True)

    def confirm(
        self, identified: RememberedKey, key: AccessKey | None, credentials: Credentials, *, now: float
    ) -> AccessKey:
        """The caller's key, given the stored ``key`` that was just read. Raises Forbidden."""
        # A copy that equals the stored key was proved already.
        proved = identified.key if key == identified.key else credentials.prove(key, now=now)
        self._keys.put(proved, now=now)
        return proved

    def authenticate(self, credentials: Credentials, *, now: float) -> AccessKey:
        """The caller's key, read where it is not remembered. Raises Forbidden."""
        identified = self.identify(credentials, now=now)
        if identified.current:
            return identified.key
        return self.confirm(identified, self._store.access_key(credentials.key_id), credentials, now=now)

    def _read(self, credentials: Credentials, *, now: float) -> AccessKey:
        proved = credentials.prove(self._store.access_key(credentials.key_id), now=now)
        self._keys.put(proved, now=now)
        return proved

    def authenticate_manager(self, credentials: Credentials, *, now: float) -> AccessKey:
        """The key of a caller who is about to manage keys, which takes the current secret.

        Otherwise whoever stole a secret could use the overlap to rotate the key again, or to make keys that outlive it.
        The key is always read: a remembered one may be older than its rotation. Raises Forbidden, SupersededSecret.
        """
        key = self._read(credentials, now=now)
        require_current(credentials, key, now=now)
        return key

    def authorize(
        self, credentials: Credentials, program_id: str, scope: str, *, now: float
    ) -> tuple[AccessKey, ProgramState]:
        """The caller's key, and the program that it opens for ``scope``.

        Raises Forbidden; NotFound to keys that open every program.
        """
        key = self.authenticate(credentials, now=now)
        return key, open_program(self._store, key, program_id, scope)


def open_program(
    store: ConfigurationStore, key: AccessKey, program_id: str, scope: str, *, hidden: NotFound | None = None
) -> ProgramState:
    """The state of a program that ``key`` opens for ``scope``.

    Raises Forbidden where the key lacks the scope or does not open the program, and NotFound to keys that open every
    program. Except for a missing scope, ``hidden`` is raised instead where it is given.
    """
    named = key.incarnation_of(program_id)
    key.require(named or Incarnation(program_id), scope, hidden=hidden)
    if not PROGRAM_ID.fullmatch(program_id):
        raise hidden or Forbidden(REFUSED)
    return present_state(key, store.program_state(program_id), hidden=hidden)


def present_state(key: AccessKey, state: ProgramState | None, *, hidden: NotFound | None = None) -> ProgramState:
    """The state of a program that was just read, if the key opens this incarnation of it.

    Raises as ``open_program``: a program that was deleted is refused as one that never was, also where another one has
    its id now.
    """
    if state is None and key.opens_every_program:
        raise hidden or NotFound(PROGRAM_NOT_FOUND)
    if state is None or not key.opens(state.program.incarnation):
        raise hidden or Forbidden(REFUSED)
    return state


def require_current(credentials: Credentials, key: AccessKey, *, now: float) -> None:
    """Raise SupersededSecret where ``key``, which was just read and proved, was proved with a rotated secret."""
    if not credentials.proves_current(key, now):
        raise SupersededSecret


def require_operator(key: AccessKey) -> None:
    """Raise Forbidden unless the key administers the whole deployment."""
    if not key.opens_every_program:
        raise Forbidden(REFUSED)
