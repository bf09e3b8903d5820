"""The ActionHub dialect: HTTP requests to typed inputs, results to JSON. Pure: no store, no clock, no gateway loop."""
