"""Managing access keys: listing, creating, rotating, revoking.

A key manages the keys that open no more than it does itself. Everything beyond looks as if it did not exist, so the
holder of one program's key learns nothing of other programs, not even their keys' ids. Callers prove the current secret
of their own key first (``Gate.authenticate_manager``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from nextbest.domain.access_keys import ADMIN, PROGRAM_ID, SCOPES, AccessKey, issue_key, key_text, rotate_key
from nextbest.errors import Forbidden, InUse, InvalidInput, NotFound, SupersededSecret
from nextbest.logic.authorization import REFUSED
from nextbest.logic.programs import new_key_id
from nextbest.store.base import Store


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys that one key may manage. Raises Forbidden where ``holder`` administers nothing.

    ``holder`` is the key as it was when its current secret was proved.
    """

    store: Store
    holder: AccessKey
    master_secret: str

    def __post_init__(self) -> None:
        if not self.holder.allows(ADMIN):
            raise Forbidden(REFUSED)

    def managed(self) -> list[AccessKey]:
        """Every key within the holder's reach, in order of their ids."""
        return [key for key in self.store.access_keys() if self._reaches(key.programs, key.scopes)]

    def create(
        self, *, programs: tuple[str, ...], scopes: tuple[str, ...], name: str, now: float, random: Random
    ) -> tuple[AccessKey, str]:
        """A new key and its text, shown only now.

        No programs, with the scope admin, is a key that opens every program; only a holder of such a key may make one.
        Raises Forbidden for programs that the holder does not open, NotFound for those that do not exist, InvalidInput.
        """
        if not self._reaches(programs, scopes):
            raise Forbidden(REFUSED)
        if not programs and ADMIN not in scopes:
            raise InvalidInput("a key without programs opens nothing: name at least one", field="programs")
        for program_id in programs:
            if not PROGRAM_ID.fullmatch(program_id) or self.store.program_state(program_id) is None:
                raise NotFound("Program not found")
        ordered = tuple(scope for scope in SCOPES if scope in scopes)
        key, text = issue_key(self.master_secret, new_key_id(random), programs=programs, scopes=ordered)
        key = replace(key, name=name, created_at=now)
        self.store.put_access_key(key)
        return key, text

    def rotate(self, key_id: str, *, overlap_seconds: float, now: float) -> tuple[AccessKey, str]:
        """The key's next generation and its text; the one before works for ``overlap_seconds`` more.

        A generation that is still in an overlap ends now: two secrets work at a time, never three. Raises NotFound,
        InUse for a key that is revoked, and SupersededSecret where the holder's own key was rotated by somebody else
        since its secret was proved.
        """

        def next_generation(key: AccessKey | None) -> AccessKey:
            key = self._within_reach(key)
            if key.revoked:
                raise InUse("the key is revoked; create a new one")
            if key.key_id == self.holder.key_id and key.generation != self.holder.generation:
                raise SupersededSecret
            return rotate_key(self.master_secret, key, now=now, overlap_seconds=overlap_seconds)

        key = self.store.change_access_key(key_id, next_generation)
        return key, key_text(self.master_secret, key)

    def revoke(self, key_id: str) -> AccessKey:
        """End a key; it opens nothing once caches of keys have run out (``AccessKeyCache``). Raises NotFound, InUse.

        A key cannot end itself: a slip would lock its holder out of the deployment.
        """
        if key_id == self.holder.key_id:
            raise InUse("a key cannot revoke itself; use another key that opens the same programs")
        return self.store.change_access_key(key_id, lambda key: replace(self._within_reach(key), revoked=True))

    def _within_reach(self, key: AccessKey | None) -> AccessKey:
        if key is None or not self._reaches(key.programs, key.scopes):
            raise NotFound("Key not found")
        return key

    def _reaches(self, programs: tuple[str, ...], scopes: tuple[str, ...]) -> bool:
        """Whether a key for ``programs`` opens nothing that the holder does not open."""
        if not programs and ADMIN in scopes:
            return not self.holder.programs
        return all(self.holder.opens(program_id) for program_id in programs)
