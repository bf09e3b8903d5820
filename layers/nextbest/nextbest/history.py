"""The public name of :class:`History`: ``from nextbest.history import History``."""

from nextbest.domain.history import History

__all__ = ["History"]
