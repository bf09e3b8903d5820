"""Managing access keys: listing, creating, rotating, revoking.

A key manages the keys that open no more than it does itself. Everything beyond looks as if it did not exist, so the
holder of one program's key learns nothing of other programs, not even their keys' ids. Callers prove the current secret
of their own key first (``Gate.authenticate_manager``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from nextbest.domain.access_keys import ADMIN, PROGRAM_ID, SCOPES, AccessKey, issue_key, key_text, rotate_key
from nextbest.domain.events import DAY_SECONDS
from nextbest.domain.ids import is_storable
from nextbest.domain.programs import Incarnation
from nextbest.errors import Forbidden, InUse, InvalidInput, NotFound, QuotaExceeded, SupersededSecret
from nextbest.logic.authorization import REFUSED, present_state
from nextbest.logic.programs import new_key_id
from nextbest.store.base import Store

MAX_KEYS_OF_A_PROGRAM = 1000
MAX_NAME_CHARACTERS = 256
MAX_KEY_DAYS = 3650


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
        if self.holder.opens_every_program:
            return list(self.store.access_keys())
        # Each program's own keys are read, so what others have costs this caller nothing.
        keys = (key for incarnation in self.holder.programs for key in self.store.access_keys_of(incarnation))
        reached = {key.key_id: key for key in keys if self._reaches(key)}
        return [reached[key_id] for key_id in sorted(reached)]

    def page(self, after: str | None, limit: int) -> tuple[list[AccessKey], str | None]:
        """Up to ``limit`` of these keys whose ids come after ``after``; and the id to go on after, None at the end."""
        if self.holder.opens_every_program:
            return self.store.page_of_access_keys(after, limit)
        keys, last = self.store.page_of_access_keys_of(self.holder.programs, after, limit)
        return [key for key in keys if self._reaches(key)], last

    def of_program(self, incarnation: Incarnation) -> list[AccessKey]:
        """Those of these keys that name one program, in order of their ids."""
        return [key for key in self.store.access_keys_of(incarnation) if self._reaches(key)]

    def create(
        self,
        *,
        program_ids: tuple[str, ...],
        scopes: tuple[str, ...],
        name: str,
        now: float,
        random: Random,
        expires_at: float | None = None,
    ) -> tuple[AccessKey, str]:
        """A new key and its text, shown only now. It ends at ``expires_at`` (seconds since 1970), or never.

        No programs, with the scope admin, is a key that opens every program; only a holder of such a key may make one.
        Raises Forbidden for programs that the holder does not open, NotFound for those that do not exist, InvalidInput,
        and QuotaExceeded for a program that has ``MAX_KEYS_OF_A_PROGRAM``.
        """
        if not self._may_create(program_ids, scopes):
            raise Forbidden(REFUSED)
        if not program_ids and ADMIN not in scopes:
            raise InvalidInput("a key without programs opens nothing: name at least one", field="programs")
        if not scopes:
            raise InvalidInput("a key without scopes may do nothing: give at least one", field="scopes")
        if len(name) > MAX_NAME_CHARACTERS or not is_storable(name):
            problem = f"a name has at most {MAX_NAME_CHARACTERS} characters, and no control characters"
            raise InvalidInput(problem, field="name")
        if expires_at is not None and expires_at - now > MAX_KEY_DAYS * DAY_SECONDS:
            problem = f"a key lasts {MAX_KEY_DAYS:,} days at most; without an end it lasts until it is revoked"
            raise InvalidInput(problem, field="ts_expires")
        if expires_at is not None and expires_at <= now:
            raise InvalidInput("the key would have expired already", field="ts_expires")
        programs = tuple(map(self._incarnation, program_ids))
        for incarnation in programs:
            self._make_room(incarnation)
        ordered = tuple(scope for scope in SCOPES if scope in scopes)
        key, text = issue_key(self.master_secret, new_key_id(random), programs=programs, scopes=ordered)
        key = replace(key, name=name, created_at=now, expires_at=expires_at)
        self.store.put_access_key(key)
        return key, text

    def _may_create(self, program_ids: tuple[str, ...], scopes: tuple[str, ...]) -> bool:
        """Whether the holder opens all that such a key would; nothing is read, so refusals tell nothing."""
        if self.holder.opens_every_program:
            return True
        opens_all = not program_ids and ADMIN in scopes
        return not opens_all and all(self.holder.incarnation_of(program_id) for program_id in program_ids)

    def _incarnation(self, program_id: str) -> Incarnation:
        """The present incarnation of a program. Raises as ``present_state``."""
        state = self.store.program_state(program_id) if PROGRAM_ID.fullmatch(program_id) else None
        return present_state(self.holder, state).program.incarnation

    def _make_room(self, incarnation: Incarnation) -> None:
        """Raise QuotaExceeded where a program has as many keys as it may have; revoked ones make room first."""
        if self.store.count_access_keys_of(incarnation) < MAX_KEYS_OF_A_PROGRAM:
            return
        revoked = [key for key in self.store.access_keys_of(incarnation) if key.revoked]
        for key in revoked:
            self.store.remove_access_key(key)
        if not revoked:
            raise QuotaExceeded(f"a program has at most {MAX_KEYS_OF_A_PROGRAM:,} keys: revoke those not in use")

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
        if key is None or not self._reaches(key):
            raise NotFound("Key not found")
        return key

    def _reaches(self, key: AccessKey) -> bool:
        """Whether a key opens nothing that the holder does not open."""
        if key.opens_every_program:
            return self.holder.opens_every_program
        return all(map(self.holder.opens, key.programs))
