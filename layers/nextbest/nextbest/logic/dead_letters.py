"""Messages that could not be ingested: look at them, or send them to the queue again."""

from __future__ import annotations

from collections.abc import Iterator

from nextbest.domain.dead_letters import DeadLetter
from nextbest.store.base import DeadLetterQueue, MessageQueue

HIDDEN_SECONDS = 60


def waiting(
    dead_letters: DeadLetterQueue, *, limit: int | None = None, hidden_seconds: int = HIDDEN_SECONDS
) -> Iterator[DeadLetter]:
    """The messages of a queue of failures, each once; for ``hidden_seconds`` no other caller receives them.

    Up to ``limit``, a few more at most: they are received in batches.
    """
    seen: set[str] = set()
    while limit is None or len(seen) < limit:
        new = [letter for letter in dead_letters.receive(hidden_seconds) if letter.message_id not in seen]
        if not new:
            return
        seen.update(letter.message_id for letter in new)
        yield from new


def list_dead_letters(dead_letters: DeadLetterQueue, *, limit: int | None = None) -> list[DeadLetter]:
    """The dead letters, or some of them; afterwards they can be received again at once."""
    letters = list(waiting(dead_letters, limit=limit))
    for letter in letters:
        dead_letters.release(letter)
    return letters


def redrive(dead_letters: DeadLetterQueue, queue: MessageQueue, *, limit: int | None = None) -> int:
    """Send the dead letters, or some of them, to the queue again, then delete them; how many there were.

    In this order an interruption can send a message twice, whose events count once, but never lose one.
    """
    count = 0
    for letter in waiting(dead_letters, limit=limit):
        queue.send([letter.body])
        dead_letters.delete(letter)
        count += 1
    return count
