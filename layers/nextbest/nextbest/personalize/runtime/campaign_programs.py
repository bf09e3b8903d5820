"""Which program a request is about: names of campaigns are a program's own, so the caller's key says whose is meant.

A program implicitly has a campaign of its own name. A key that opens one program means that program's campaigns. Of
several programs the one of the campaign's name is meant, else the only one that has such a campaign. Hot path: standard
library alone.
"""

from __future__ import annotations

from nextbest.domain.access_keys import PROGRAM_ID, AccessKey
from nextbest.domain.programs import Incarnation, program_id_of
from nextbest.errors import InvalidInput
from nextbest.logic.recommendations import Recommender
from nextbest.personalize.protocol.arns import CAMPAIGN, missing
from nextbest.store.base import ResourceKey, UserRead
from nextbest.store.cache import LruCache

REMEMBERED_SECONDS = 60.0
"""How long a campaign's program is remembered for keys that open several: other programs may come to have one too."""


class CampaignPrograms:
    """Finds the programs of campaigns, and remembers them so that a warm environment reads everything at once."""

    def __init__(self, recommender: Recommender) -> None:
        self._recommender = recommender
        self._remembered: LruCache[tuple[Incarnation, float]] = LruCache(1024)

    def expected(self, key: AccessKey, campaign: str, *, now: float) -> Incarnation | None:
        """The program to read first: the only one, the one remembered, or that of the campaign's name."""
        if len(key.programs) == 1:
            return key.programs[0]
        entry = self._remembered.get(_place(key, campaign))
        if entry is not None and now < entry[1]:
            return entry[0]
        return self._recommender.expected_incarnation(key, campaign) if PROGRAM_ID.fullmatch(campaign) else None

    def find(self, key: AccessKey, campaign: str, arn: str, *, now: float) -> Incarnation:
        """The program that the caller means, where the one expected does not have the campaign.

        Raises NotFound, and InvalidInput where it could be any of several.
        """
        if len(key.programs) == 1:
            raise missing(arn)
        programs = (
            [namesake] if (namesake := self._namesake(key, campaign)) else self.that_have(key, CAMPAIGN, campaign)
        )
        if len(programs) > 1:
            problem = f"Several of the dataset groups that the access key opens have a resource {arn}; use a key of one"
            raise InvalidInput(problem, field="campaignArn")
        if not programs:
            raise missing(arn)
        self._remembered.put(_place(key, campaign), (programs[0], now + REMEMBERED_SECONDS))
        return programs[0]

    def _namesake(self, key: AccessKey, campaign: str) -> Incarnation | None:
        """The present incarnation of the program of this name, if the key opens it."""
        opens = key.opens_every_program or key.incarnation_of(campaign) is not None
        state = self._recommender.store.program_state(campaign) if opens and PROGRAM_ID.fullmatch(campaign) else None
        return state.program.incarnation if state is not None and key.opens(state.program.incarnation) else None

    def that_have(self, key: AccessKey, kind: str, name: str) -> list[Incarnation]:
        """The programs that the key opens and that have a resource of this name; for an operator's, all are read."""
        programs = list(key.programs)
        if key.opens_every_program:
            programs = [program.incarnation for program in self._recommender.store.list_programs()]
        found = self._recommender.store.find_resources(ResourceKey(owner, kind, name) for owner in programs)
        return [resource.owner for resource in found]


def has_campaign(read: UserRead, incarnation: Incarnation, campaign: str) -> bool:
    """Whether the program that was read is there and has the campaign."""
    present = read.state is not None and read.state.program.incarnation == incarnation
    return present and (campaign == program_id_of(incarnation) or read.resources[CAMPAIGN, campaign] is not None)


def _place(key: AccessKey, campaign: str) -> str:
    return f"{key.key_id}/{campaign}"
