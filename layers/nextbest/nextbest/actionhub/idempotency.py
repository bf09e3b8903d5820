"""Calls that create something and may be repeated: ``Idempotency-Key``, by Powertools' Idempotency.

Follows draft-ietf-httpapi-idempotency-key-header: a key that comes again with the same body within the hour is answered
as it was before, with another body 422, and 409 while the first call is still being answered. Keys are scoped by the
caller's access key and the route. What failed is not remembered. Secrets are not stored: they are derived again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar, cast

from aws_lambda_powertools.event_handler.openapi.params import Header
from pydantic import BaseModel

from nextbest.actionhub.calls import KeyCall
from nextbest.actionhub.errors import InvalidRequest
from nextbest.domain.access_keys import first_key_text
from nextbest.errors import InUse, Unavailable

REMEMBERED_SECONDS = 3600
_CALL_MILLISECONDS = 30_000
"""No call takes longer (Timeout in template.yaml): what is not done by then was ended, and may be made again."""

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="idempotency-key",
        description="Any text of the caller's, new for each creation: repeated within an hour, the call is answered as "
        "before and creates nothing (an extension).",
        min_length=1,
        max_length=255,
    ),
]

Body = TypeVar("Body", bound=BaseModel)
Created = TypeVar("Created", bound=BaseModel)


def once(
    call: KeyCall,
    route: str,
    idempotency_key: str | None,
    body: Body,
    create: Callable[[Body], Created],
    answer_type: type[Created],
) -> Created:
    """What ``create`` makes of ``body``, or made of it when the caller sent this key before.

    ``answer_type`` has the member ``api_key``, the text of a new access key. Raises InvalidRequest, InUse, Unavailable.
    """
    if idempotency_key is None:
        return create(body)
    # Imported here: few calls carry the header, and boto3 comes along.
    from aws_lambda_powertools.utilities.idempotency import IdempotencyConfig, idempotent_function
    from aws_lambda_powertools.utilities.idempotency import exceptions as failures
    from aws_lambda_powertools.utilities.idempotency.serialization.custom_dict import CustomDictSerializer

    master_secret = call.deployment.master_secret()

    def without_secret(created: Created) -> dict[str, Any]:
        members = created.model_dump(mode="json")
        return {**members, "api_key": members["api_key"].partition(".")[0]}

    def with_secret(members: dict[str, Any]) -> Created:
        return answer_type.model_validate({**members, "api_key": first_key_text(master_secret, members["api_key"])})

    config = IdempotencyConfig(
        event_key_jmespath="[caller, idempotency_key]",
        payload_validation_jmespath="body",
        expires_after_seconds=REMEMBERED_SECONDS,
        hash_function="sha256",
        lambda_context=cast(Any, _Deadline),
    )

    def make(*, request: dict[str, Any]) -> Created:
        return create(body)

    idempotent = idempotent_function(
        make,
        data_keyword_argument="request",
        persistence_store=call.deployment.idempotency(),
        config=config,
        output_serializer=CustomDictSerializer(to_dict=without_secret, from_dict=with_secret),
        key_prefix=route,
    )
    try:
        created: Created = idempotent(
            request={
                "caller": call.key.key_id,
                "idempotency_key": idempotency_key,
                "body": body.model_dump(mode="json"),
            }
        )
    except failures.IdempotencyValidationError as error:
        detail = {"type": "value_error", "loc": ("header", "idempotency-key"), "input": idempotency_key}
        raise InvalidRequest([{**detail, "msg": "This key was sent with another body before"}]) from error
    except (failures.IdempotencyAlreadyInProgressError, failures.IdempotencyInconsistentStateError) as error:
        raise InUse("a call with this idempotency key is still being answered; try again") from error
    except failures.IdempotencyPersistenceLayerError as error:
        raise Unavailable("what was created before could not be looked up; please try again") from error
    return created


class _Deadline:
    """What Powertools asks Lambda's context: a call that was ended must not lock its key for an hour."""

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        return _CALL_MILLISECONDS
