"""Reasons in English: every template there is. Event types and names are the program's own words, and stay as they are.

An event type is read as a verb where it is one of those below, in whatever spelling: ``create_task`` is "created task".
Others are named: ``ordr`` is "did “ordr” with". Names are in quotation marks, so that it is plain where they end.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

LIKELY = 0.5
"""From this probability on a sentence says "Likely"; below, it compares with the average."""
_LEAST_SHARE, _MOST_POINTS, _LEAST_POINTS = 0.2, 2.0, 0.05
"""Less than a fifth of the average probability, or of what it lacks to 1, is no difference from the average user unless
it is two percentage points. Less than a twentieth of a point never is."""
_REASONS_IN_A_SENTENCE = 2

GOAL_NOTES = {
    "GOAL": "This action reaches the goal itself: its effect is the value of the goal.",
    "ASSOCIATION": "An association with the goal, not a cause, until an experiment has shown it.",
    "UNCERTAIN": "The interval includes 0, so this may be chance. It counts in part, or not at all if it is small.",
    "TOO_FEW_USERS": "Too few users took this action and were seen for the horizon afterwards: no effect is counted.",
    "TOO_FEW_GOALS": "Too few users reached the goal, with this action or without it: no effect is counted.",
    "NO_SIMILAR_USERS": "Nearly all similar users took this action, so there is nobody to compare with: no effect is "
    "counted.",
    "NOT_ESTIMATED": "The last rebase did not estimate this action, which is new or rare: no effect is counted.",
}
"""What is known of an action's effect on the goal, by the names of ``nextbest.scoring.goal_effects.Basis``."""

_REGULAR_VERBS = """
accept activate add approve archive assign attach attend bookmark book borrow cancel check claim click close collect
complete configure confirm connect convert create decline delete deploy dismiss download earn edit enable exchange
export favorite favourite finish follow import install integrate invite join launch learn like load merge message move
note offer open order pause play post preorder print publish purchase push rate receive redeem refresh reject remove
rename renew rent reorder request reserve resolve restart resume return review save schedule score select share start
stream switch sync test track trade unlock uninstall update upgrade upload use validate view visit watch
"""
"""Verbs that take -ed, or -d after an e."""
_OTHER_VERBS = """
apply:applied-for bet:bet-on bid:bid-on browse:browsed build:built buy:bought choose:chose comment:commented-on
copy:copied do:did drink:drank eat:ate enrol:enrolled-in enroll:enrolled-in find:found get:got give:gave hear:heard
leave:left listen:listened-to log:logged lose:lost make:made pay:paid-for pin:pinned plan:planned put:put
query:queried read:read refer:referred register:registered-for reply:replied-to run:ran scan:scanned
search:searched-for see:saw sell:sold send:sent set:set ship:shipped shop:shopped-for sign:signed skip:skipped
spend:spent star:starred stop:stopped submit:submitted subscribe:subscribed-to tag:tagged take:took taken:took
tap:tapped transfer:transferred try:tried unsubscribe:unsubscribed-from verify:verified vote:voted-for wait:waited-for
win:won wish:wished-for write:wrote
"""
_PHRASES = {
    "sign up": "signed up for",
    "sign in": "signed in to",
    "log in": "logged in to",
    "log out": "logged out of",
    "check in": "checked in to",
    "opt in": "opted in to",
    "opt out": "opted out of",
    "not taken": "declined",
}


_PAST = {verb: f"{verb.removesuffix('e')}ed" for verb in _REGULAR_VERBS.split()}
_PAST |= {verb: past.replace("-", " ") for verb, past in (entry.split(":") for entry in _OTHER_VERBS.split())}
_IN_THE_PAST = {past.split()[0] for past in _PAST.values()}
_PREPOSITIONS = {"to", "from", "into", "with", "in", "on", "at", "by", "via", "as"}
_WORD = re.compile(r"[\s_\-]+|(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Deed:
    """What a user did with an asset: how often (``count`` events that are known one by one, ``more`` earlier ones), how
    many days ago last, and how many of them within a week. ``is_little``: less than the average user."""

    event_type: str
    asset_name: str
    count: int
    more: bool
    days_since_last: float | None
    within_week: int
    is_little: bool = False


def sentence(
    deeds: Sequence[Deed],
    opposing: Sequence[Deed] = (),
    *,
    points: float,
    probability: float,
    others_lead: bool,
    has_reasons: bool,
) -> str:
    """Why an action is likelier, or less likely, than for the average user.

    ``points`` is the difference in percentage points, ``deeds`` what speaks for it where that is positive, and against
    it where it is negative, strongest first; ``opposing`` is the other way around. With ``others_lead`` the strongest
    reason is what the user did not do. Without ``has_reasons`` nothing in the history speaks either way.
    """
    if not has_reasons:
        return "Popular with everyone; nothing in their history speaks for or against it."
    if abs(points) < significant_points(probability - points / 100.0):
        return _balance(*(deeds, opposing) if points > 0 else (opposing, deeds))
    reason = joined([phrase(deed) for deed in deeds[:_REASONS_IN_A_SENTENCE]])
    if points > 0:
        lead = "Likely" if probability >= LIKELY else "More likely than average"
        if others_lead or not reason:
            reason = "did little of what usually keeps others from it"
    else:
        lead = "Less likely than average"
        if others_lead or not reason:
            reason = "did little of what usually leads to it"
    return f"{lead} because they {reason}."


def _balance(speaking_for: Sequence[Deed], speaking_against: Sequence[Deed]) -> str:
    """Why the difference from the average user is none: the strongest on each side."""
    pro = f"that they {phrase(speaking_for[0])}" if speaking_for else "what they did not do"
    contra = f"that they {phrase(speaking_against[0])}" if speaking_against else "what they did not do"
    if speaking_for or speaking_against:
        return f"As likely as average: {pro} speaks for it, {contra} against it."
    return "As likely as average; what speaks for it and against it is in balance."


def significant_points(average: float) -> float:
    """The smallest difference from the ``average`` user's probability worth a word, in percentage points."""
    share = 100.0 * _LEAST_SHARE * min(average, 1.0 - average)
    return max(_LEAST_POINTS, min(share, _MOST_POINTS))


def goal_sentence(
    basis: str,
    event_type: str,
    asset_name: str,
    *,
    effect: float | None,
    low: float | None,
    high: float | None,
    users: int,
    horizon_days: float,
    only_value: float | None,
) -> str:
    """What an action is worth for the goal. ``basis`` is a name of ``GOAL_NOTES``. With the ``only_value`` of a goal of
    one event type the effect is a difference in probability."""
    if effect is None or low is None or high is None or basis == "GOAL":
        return GOAL_NOTES[basis]
    before, after = _around_name(event_type)
    # Told as a size, so a negative effect turns the interval around.
    sign = 1.0 if effect > 0 else -1.0
    size, near, far = sign * effect, *sorted((sign * low, sign * high))
    if only_value:
        points = 100.0 / only_value
        amount = f"the goal {points * size:.1f} percentage points {'more' if effect > 0 else 'less'} often"
        interval = f"{points * near:.1f} to {points * far:.1f}"
    else:
        amount = f"{size:,.2f} {'more' if effect > 0 else 'less'} of the goal's value"
        interval = f"{near:,.2f} to {far:,.2f}"
    return (
        f"Users who {before} “{asset_name}”{after} reached {amount} within {horizon_days:g} days than similar "
        f"users who did not (95 % interval: {interval}; {users:,} users). {GOAL_NOTES[basis]}"
    )


def sentence_without_model(deed: Deed) -> str:
    """The same before the program's first rebase, when only the user's own history is known."""
    return f"They {phrase(deed)}; before the program's first rebase nothing else is known."


def joined(phrases: Sequence[str]) -> str:
    """One phrase, or several with "and": after a comma where a phrase has one itself."""
    return (", and " if any("," in phrase for phrase in phrases) else " and ").join(phrases)


def phrase(deed: Deed) -> str:
    """What was done, how often and when: 'viewed “Pricing” 3 times in the last 7 days'."""
    return f"{past(deed.event_type, deed.asset_name)} {_how_often(deed)}"


def past(event_type: str, asset_name: str) -> str:
    """What somebody did: 'viewed “Pricing”'."""
    before, after = _around_name(event_type)
    return f"{before} “{asset_name}”{after}"


def _around_name(event_type: str) -> tuple[str, str]:
    """An event type as a verb in the past: what stands before the asset's name, and after it."""
    words = [word.lower() for word in _WORD.split(event_type) if word]
    if len(words) == 2 and " ".join(words) in _PHRASES:
        return _PHRASES[" ".join(words)], ""
    first, rest = (words[0], words[1:]) if words else ("", [])
    past = _PAST.get(first) or (first if first in _IN_THE_PAST else None)
    if past is None:
        return f"did “{event_type}” with", ""
    if not rest:
        return past, ""
    past = past.split()[0]  # "searched for", but "searched product"
    if rest[0] in _PREPOSITIONS and rest[1:]:
        return past, " " + " ".join(rest)  # "added ... to cart"
    return " ".join([past, *rest]), ""


def _how_often(deed: Deed) -> str:
    if deed.days_since_last is None or not deed.count:
        return "long ago"
    only = "only " if deed.is_little and not deed.more else ""
    if deed.count == 1 and not deed.more:
        return f"{only}once, {ago(deed.days_since_last)}"
    if deed.within_week == deed.count and not deed.more:
        return f"{only}{_times(deed.count)} in the last 7 days"
    over = "over " if deed.more else ""
    return f"{only}{over}{_times(deed.count)}, last {ago(deed.days_since_last)}"


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count:,} times")


def ago(days: float) -> str:
    """How long ago something was."""
    if days < 1:
        return "within 24 hours"
    for unit, length, until in (("day", 1, 14), ("week", 7, 61), ("month", 30.44, 731)):
        if days < until:
            return _number(int(days / length), unit)
    return _number(int(days / 365.25), "year")


def _number(count: int, unit: str) -> str:
    return f"1 {unit} ago" if count == 1 else f"{count:,} {unit}s ago"
