"""Where a program may import from: an extension of the ActionHub API. The operator says it, the program reads it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from nextbest.actionhub.calls import ResourceRouter
from nextbest.actionhub.documentation import ContractModel, ProgramId, example
from nextbest.domain.access_keys import ADMIN
from nextbest.domain.import_locations import MAX_IMPORT_LOCATIONS
from nextbest.errors import InvalidInput
from nextbest.logic.authorization import require_operator

MAX_LOCATION_CHARACTERS = 256
"""What CreateDatasetImportJob takes."""

Folder = Annotated[str, Field(max_length=MAX_LOCATION_CHARACTERS)]

router = ResourceRouter("programs")


class NewImportLocations(ContractModel):
    """Folders in S3, each as s3://bucket/prefix/. They replace the earlier ones."""

    model_config = example(import_locations=["s3://coffee-exports/nightly/"])

    import_locations: Annotated[list[Folder], Field(max_length=MAX_IMPORT_LOCATIONS)]


class ImportLocations(ContractModel):
    """Everything that the program's import jobs may read: files in these folders, and in folders within."""

    program_id: str
    import_locations: list[str]


@router.endpoint("GET", "/program/import_locations", ADMIN, "The folders that the program may import from")
def get_import_locations(program_id: ProgramId) -> ImportLocations:
    return _current()


@router.endpoint(
    "PUT",
    "/program/import_locations",
    ADMIN,
    "Say which folders the program may import from; only a key that opens every program may",
)
def put_import_locations(program_id: ProgramId, body: NewImportLocations) -> ImportLocations:
    call = router.call
    require_operator(call.key)
    folders = [_folder(text, index) for index, text in enumerate(body.import_locations)]
    call.deployment.store.put_import_locations(call.incarnation, list(dict.fromkeys(folders)))
    return _current()


def _current() -> ImportLocations:
    call = router.call
    program_id = call.state.program.program_id
    by_operator = call.deployment.store.import_locations(call.incarnation)
    folders = call.deployment.import_rules.folders_of(program_id, by_operator)
    return ImportLocations(program_id=program_id, import_locations=list(folders))


def _folder(text: str, index: int) -> str:
    try:
        return router.call.deployment.import_rules.folder(text)
    except InvalidInput as error:
        field = f"import_locations.{index}"
        raise InvalidInput(f"{field} {error.message}", field=field) from error
