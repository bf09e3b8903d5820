"""Who calls: a claim to hold an access key, which is proved once the key was read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from nextbest.domain.access_keys import AccessKey
from nextbest.store.base import ConfigurationStore


class Caller(Protocol):
    """Somebody who claims to hold an access key."""

    @property
    def access_key_id(self) -> str | None:
        """The key to read before ``verified``, along with whatever else is read; None where it is known already."""
        ...

    def verified(self, stored: AccessKey | None) -> AccessKey:
        """The key, once the claim is proved with what the store holds under ``access_key_id``.

        Raises Refused, in the words that AWS has for it.
        """
        ...


@dataclass(frozen=True, slots=True)
class KnownCaller:
    """A caller whose key was proved before."""

    key: AccessKey

    @property
    def access_key_id(self) -> None:
        return None

    def verified(self, stored: AccessKey | None) -> AccessKey:
        assert stored is None
        return self.key


def identify(store: ConfigurationStore, caller: Caller) -> AccessKey:
    """The caller's key, read from the store where it is not known. Raises what ``verified`` raises."""
    key_id = caller.access_key_id
    return caller.verified(store.access_key(key_id) if key_id is not None else None)
