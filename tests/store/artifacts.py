"""Artifacts in memory, for tests that are not about S3."""

from __future__ import annotations

from nextbest.errors import ArtifactError


class MemoryArtifacts:
    """Artifacts in a dictionary. Implements ``store.base.ArtifactStore``."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.reads = 0

    def put(self, key: str, data: bytes) -> None:
        self.files[key] = data

    def get(self, key: str) -> bytes:
        self.reads += 1
        if key not in self.files:
            raise ArtifactError(f"artifact {key} does not exist")
        return self.files[key]

    def delete_all(self, prefix: str, *, before: str | None = None) -> int:
        doomed = [key for key in self.files if key.startswith(prefix) and (before is None or key < before)]
        for key in doomed:
            del self.files[key]
        return len(doomed)
