"""Programs, keys, assets, labels and resources."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from zlib import compress, crc32

import pytest

from nextbest.domain.access_keys import SCOPES, issue_key
from nextbest.domain.assets import Asset
from nextbest.domain.catalogue import MAX_CONTENT_BYTES, Catalogue
from nextbest.domain.programs import Incarnation, Program
from nextbest.errors import AlreadyExists, ArtifactError, NotFound, Unavailable
from nextbest.store.base import DEPLOYMENT, CataloguePointer, ModelPointer, ProgramState, ResourceKey, Status
from nextbest.store.cache import RETRY_SECONDS, CatalogueCache, ModelCache
from nextbest.store.dynamo import DynamoStore
from tests.factories import MemoryArtifacts
from tests.store.conftest import PROGRAM

BOMB = compress(bytes(MAX_CONTENT_BYTES + 1))


def state_of(store: DynamoStore) -> ProgramState:
    state = store.program_state(PROGRAM.program_id)
    assert state is not None
    return state


def test_a_program_is_created_once_and_changed_in_place(store: DynamoStore) -> None:
    with pytest.raises(AlreadyExists):
        store.create_program(PROGRAM)
    store.update_program(replace(PROGRAM, description="changed"))
    assert [program.description for program in store.list_programs()] == ["changed"]
    with pytest.raises(NotFound):
        store.update_program(Program("nothing"))


def test_changes_of_different_settings_at_the_same_moment_are_all_made(store: DynamoStore) -> None:
    def change(place: int) -> None:
        store.change_program(
            PROGRAM.incarnation,
            lambda program: replace(program, never_recommended=(*program.never_recommended, f"type {place}")),
        )

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(change, range(12)))

    assert sorted(state_of(store).program.never_recommended) == sorted(f"type {place}" for place in range(12))
    with pytest.raises(NotFound):
        store.change_program(Incarnation("coffee@bbbbbbbbbb"), lambda program: program)


@pytest.mark.parametrize("program_id", ["key", "programs"])
def test_a_program_may_be_called_as_the_partitions_of_keys_and_programs_are(
    store: DynamoStore, program_id: str
) -> None:
    store.create_program(Program(program_id, "Odd"))
    key, _ = issue_key("m" * 32, "P", programs=(Incarnation(program_id),), scopes=SCOPES)
    store.put_access_key(key)
    store.put_status(Status(Incarnation(program_id), "x", "", 1.0))

    assert list(store.access_keys()) == [key]
    assert {program.program_id for program in store.list_programs()} == {program_id, PROGRAM.program_id}
    read = store.read_user(Incarnation(program_id), "ada", access_key_id="P")
    assert (read.access_key, read.state) == (key, store.program_state(program_id))


def test_a_resource_may_have_a_name_that_is_too_long_for_a_key(store: DynamoStore) -> None:
    names = [chr(0x1F600 + place) * 256 for place in range(2)]
    store.put_resource(PROGRAM.incarnation, "personalize:session", names[0], {"name": names[0]})

    stored = [store.resource(PROGRAM.incarnation, "personalize:session", name) for name in names]
    assert stored == [{"name": names[0]}, None]


def test_the_model_pointer_only_moves_forward(store: DynamoStore) -> None:
    newer, older = ModelPointer("0002-b", "models/b"), ModelPointer("0001-a", "models/a")
    assert store.point_to_model(PROGRAM.incarnation, newer)
    assert not store.point_to_model(PROGRAM.incarnation, older)
    assert state_of(store).model == newer
    store.forget_model(PROGRAM.incarnation)
    assert state_of(store).model is None


def test_status_and_keys_come_back_as_put(store: DynamoStore) -> None:
    status = Status(PROGRAM.incarnation, "program_model_training", "learning", 1.5)
    store.put_status(status)
    assert store.status(PROGRAM.incarnation) == status
    key, text = issue_key("m" * 32, "NBKABC", programs=(PROGRAM.incarnation,), scopes=SCOPES)
    store.put_access_key(key)
    read = store.access_key("NBKABC")
    assert read == key
    assert text.partition(".")[2] not in str(read)
    assert read.accepts(text.partition(".")[2], now=0)
    assert not read.accepts("guess", now=0)


def test_assets_are_revisions_that_a_warm_reader_catches_up_with(store: DynamoStore) -> None:
    # Given a reader that knows revision 1
    artifacts = MemoryArtifacts()
    cache = CatalogueCache(store, artifacts)
    store.put_assets(PROGRAM.incarnation, [Asset("latte", "Latte"), Asset("mocha", "Mocha", ("coffee",))])
    assert cache.catalogue_of(state_of(store)).name_of("latte") == "Latte"
    # When an asset changes and another comes
    revision = store.put_assets(
        PROGRAM.incarnation, [Asset("latte", "Caffè latte"), Asset("tea", "", (), {"VALUE": 3})]
    )
    catalogue = cache.catalogue_of(state_of(store))
    # Then the next answer has both
    assert revision == catalogue.revision == 2
    assert catalogue.name_of("latte") == "Caffè latte"
    assert catalogue.name_of("tea") == "tea"
    assert catalogue.assets["tea"].fields == {"VALUE": 3}
    assert [asset.asset_id for asset in store.assets(PROGRAM.incarnation)] == ["latte", "mocha", "tea"]
    assert artifacts.reads == 0


def test_a_cold_reader_starts_from_the_written_catalogue(store: DynamoStore) -> None:
    artifacts = MemoryArtifacts()
    store.put_assets(PROGRAM.incarnation, [Asset(f"a{n:03}") for n in range(200)])
    written = CatalogueCache(store, artifacts).catalogue_of(state_of(store))
    artifacts.put("catalogues/x", written.encode())
    assert store.point_to_catalogue(PROGRAM.incarnation, CataloguePointer(written.revision, "catalogues/x"))
    assert len(CatalogueCache(store, artifacts).catalogue_of(state_of(store))) == 200
    assert artifacts.reads == 1
    store.put_assets(PROGRAM.incarnation, [Asset("late")])
    assert len(CatalogueCache(store, artifacts).catalogue_of(state_of(store))) == 201
    # A lost file costs time, not the catalogue.
    artifacts.files.clear()
    assert len(CatalogueCache(store, artifacts).catalogue_of(state_of(store))) == 201


def test_a_catalogue_that_cannot_be_read_costs_time_and_not_the_catalogue(store: DynamoStore) -> None:
    artifacts = MemoryArtifacts()
    store.put_assets(PROGRAM.incarnation, [Asset(f"a{n:03}") for n in range(20)])
    reader = CatalogueCache(store, artifacts)
    assert len(reader.catalogue_of(state_of(store))) == 20
    revision = store.put_assets(PROGRAM.incarnation, [Asset("late")])
    artifacts.put("catalogues/x", b"NBC1" + crc32(BOMB).to_bytes(4, "little") + BOMB)
    assert store.point_to_catalogue(PROGRAM.incarnation, CataloguePointer(revision, "catalogues/x"))
    assert len(reader.catalogue_of(state_of(store))) == 21
    assert len(CatalogueCache(store, artifacts).catalogue_of(state_of(store))) == 21


def test_concurrent_asset_writers_each_get_a_revision(store: DynamoStore) -> None:
    with ThreadPoolExecutor(6) as pool:
        revisions = list(pool.map(lambda n: store.put_assets(PROGRAM.incarnation, [Asset(f"asset-{n}")]), range(12)))
    assert sorted(revisions) == list(range(1, 13))
    assert len(CatalogueCache(store, MemoryArtifacts()).catalogue_of(state_of(store))) == 12


def test_the_last_good_model_serves_while_the_new_one_cannot_be_read(store: DynamoStore) -> None:
    # Given a model, then one whose file is missing
    artifacts = MemoryArtifacts()
    artifacts.put("models/a", b"good")
    warm: ModelCache[str] = ModelCache(artifacts, bytes.decode)
    assert warm.model_of(state_of(store), now=0) is None
    store.point_to_model(PROGRAM.incarnation, ModelPointer("1", "models/a"))
    assert warm.model_of(state_of(store), now=0) == ("1", "good")
    store.point_to_model(PROGRAM.incarnation, ModelPointer("2", "models/missing"))
    # Then whoever knows the first one stays with it, and who begins now begins with it
    cold: ModelCache[str] = ModelCache(artifacts, bytes.decode)
    assert warm.model_of(state_of(store), now=10) == cold.model_of(state_of(store), now=10) == ("1", "good")
    # And the missing one is not asked for with every request, but again and again
    reads = artifacts.reads
    assert warm.model_of(state_of(store), now=10 + RETRY_SECONDS - 1) == ("1", "good")
    assert artifacts.reads == reads
    artifacts.put("models/missing", b"back")
    assert warm.model_of(state_of(store), now=10 + RETRY_SECONDS) == ("2", "back")


def test_without_any_good_model_there_is_an_error_and_no_guess(store: DynamoStore) -> None:
    models: ModelCache[str] = ModelCache(MemoryArtifacts(), bytes.decode)
    for version in ("1", "2"):
        store.point_to_model(PROGRAM.incarnation, ModelPointer(version, "models/missing"))
        with pytest.raises(Unavailable):
            models.model_of(state_of(store), now=0)
    store.forget_model(PROGRAM.incarnation)
    assert state_of(store).previous_model is None
    assert models.model_of(state_of(store), now=0) is None


def test_a_catalogue_file_that_is_damaged_is_refused() -> None:
    data = bytearray(Catalogue(3, {"a": Asset("a")}).encode())
    assert Catalogue.decode(bytes(data)).revision == 3
    data[-1] ^= 1
    with pytest.raises(ArtifactError):
        Catalogue.decode(bytes(data))
    with pytest.raises(ArtifactError):
        Catalogue.decode(b"something else")


def test_label_weights_merge(store: DynamoStore) -> None:
    store.put_label_weights(PROGRAM.incarnation, {"coffee": 2.0, "tea": 0.5})
    store.put_label_weights(PROGRAM.incarnation, {"tea": 1.5})
    assert state_of(store).label_weights == {"coffee": 2.0, "tea": 1.5}


def test_resources_are_named_once_listed_in_order_and_deleted(store: DynamoStore) -> None:
    store.create_resource(PROGRAM.incarnation, "filter", "b", {"expression": "x"})
    store.create_resource(PROGRAM.incarnation, "filter", "a", {"expression": "y"})
    with pytest.raises(AlreadyExists):
        store.create_resource(PROGRAM.incarnation, "filter", "a", {})
    assert [resource["expression"] for resource in store.list_resources([PROGRAM.incarnation], "filter")] == ["y", "x"]
    assert store.resource(PROGRAM.incarnation, "filter", "c") is None
    store.delete_resource(PROGRAM.incarnation, "filter", "a")
    with pytest.raises(NotFound):
        store.delete_resource(PROGRAM.incarnation, "filter", "a")


def test_names_of_resources_are_their_owner_s_own(store: DynamoStore) -> None:
    coffee, tea, odd = PROGRAM.incarnation, Incarnation("tea@abc"), Incarnation("coffee#R")
    names = {coffee: "x", tea: "y", odd: "z", DEPLOYMENT: "u"}
    for owner, expression in names.items():
        store.create_resource(owner, "filter", "a#b%", {"expression": expression})
        store.create_resource(owner, "filter-of-others", "a", {"expression": "other"})

    for owner, expression in names.items():
        assert store.resource(owner, "filter", "a#b%") == {"expression": expression}
        assert list(store.list_resources([owner], "filter")) == [{"expression": expression}]
    both = [resource["expression"] for resource in store.list_resources([tea, coffee], "filter")]
    assert both == ["y", "x"]
    assert list(store.list_resources([], "filter")) == []
    wanted = [ResourceKey(owner, "filter", name) for owner in names for name in ("a#b%", "none")]
    wanted += [ResourceKey(coffee, "filter", f"none-{number}") for number in range(150)]
    found = store.find_resources(wanted)
    assert {key.owner: resource["expression"] for key, resource in found.items()} == names
    assert store.find_resources([]) == {}
    read = store.read_user(coffee, "u", resources=[("filter", "a#b%")])
    assert read.resources == {("filter", "a#b%"): {"expression": "x"}}
