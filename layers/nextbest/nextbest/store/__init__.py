"""Storage: the only part of the library that knows AWS."""
