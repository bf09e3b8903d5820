"""Access keys over HTTP: an extension of the ActionHub API."""

from __future__ import annotations

from nextbest.actionhub import responses
from nextbest.actionhub.calls import KeyCall
from nextbest.domain.access_keys import AccessKey
from nextbest.logic.access_keys import Keyring


def get_keys(call: KeyCall) -> object:
    return {"keys": [responses.key(key, now=call.now) for key in _keyring(call).managed()]}


def post_keys(call: KeyCall) -> object:
    settings = call.asked.settings
    created = _keyring(call).create(
        programs=settings.programs,
        scopes=settings.scopes,
        name=settings.name,
        now=call.now,
        random=call.deployment.random,
    )
    return _told_once(*created, call)


def rotate_key(call: KeyCall) -> object:
    rotated = _keyring(call).rotate(call.asked.key_id, overlap_seconds=call.asked.overlap_seconds, now=call.now)
    return _told_once(*rotated, call)


def revoke_key(call: KeyCall) -> object:
    return responses.key(_keyring(call).revoke(call.asked.key_id), now=call.now)


def _told_once(key: AccessKey, text: str, call: KeyCall) -> object:
    return {**responses.key(key, now=call.now), "api_key": text}


def _keyring(call: KeyCall) -> Keyring:
    return Keyring(call.deployment.store, call.key, call.deployment.master_secret)
