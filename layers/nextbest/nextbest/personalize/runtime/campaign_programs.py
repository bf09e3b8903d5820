"""Which program a request is about: names of campaigns are a program's own, so the caller's key says whose is meant.

A program implicitly has a campaign of its own name. A key that opens one program means that program's campaigns. Of
several programs the one of the campaign's name is meant, else the only one that has such a campaign. Hot path: standard
library alone.
"""

from __future__ import annotations

import math

from nextbest.domain.access_keys import ADMIN, PROGRAM_ID, AccessKey
from nextbest.errors import InvalidInput
from nextbest.personalize.protocol.arns import CAMPAIGN, missing
from nextbest.store.base import Namespace, ResourceKey, Store
from nextbest.store.cache import LruCache

REMEMBERED_SECONDS = 60.0
"""How long a campaign's program is remembered for keys that open several: other programs may come to have one too."""


class CampaignPrograms:
    """Finds the programs of campaigns, and remembers them so that a warm environment reads everything at once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._remembered: LruCache[tuple[Namespace, float]] = LruCache(1024)

    def remembered(self, key_id: str, campaign: str, *, now: float) -> Namespace | None:
        """The program that the key and the campaign led to before: a guess, made before the key was read."""
        entry = self._remembered.get(key_id) or self._remembered.get(_place(key_id, campaign))
        return entry[0] if entry is not None and now < entry[1] else None

    def find(self, key: AccessKey, campaign: str, arn: str, *, now: float) -> Namespace:
        """The program that the caller means. It need not have the campaign where the key opens no other program.

        Raises NotFound, and InvalidInput where it could be any of several.
        """
        if len(set(key.programs)) == 1:
            self._remembered.put(key.key_id, (key.programs[0], math.inf))
            return key.programs[0]
        program_id = self._namesake(key, campaign) or self._only_one(key, campaign, arn)
        self._remembered.put(_place(key.key_id, campaign), (program_id, now + REMEMBERED_SECONDS))
        return program_id

    def _namesake(self, key: AccessKey, campaign: str) -> Namespace | None:
        opens = PROGRAM_ID.fullmatch(campaign) is not None and key.opens(campaign)
        return campaign if opens and self._store.program_state(campaign) is not None else None

    def _only_one(self, key: AccessKey, campaign: str, arn: str) -> Namespace:
        programs = self.that_have(key, CAMPAIGN, campaign)
        if len(programs) > 1:
            problem = f"Several of the dataset groups that the access key opens have a resource {arn}"
            raise InvalidInput(f"{problem}; use a key of one", field="campaignArn")
        if not programs:
            raise missing(arn)
        return programs[0]

    def that_have(self, key: AccessKey, kind: str, name: str) -> list[Namespace]:
        """The programs that the key opens and that have a resource of this name; for an operator's, all are read."""
        programs = key.programs
        if not programs and key.allows(ADMIN):
            programs = tuple(program.program_id for program in self._store.list_programs())
        found = self._store.find_resources(ResourceKey(program_id, kind, name) for program_id in programs)
        return [resource.namespace for resource in found]


def _place(key_id: str, campaign: str) -> str:
    return f"{key_id}/{campaign}"
