"""One use case a file, named by the noun that the API has for it. Knows the store's protocols and no HTTP."""
