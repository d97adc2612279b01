"""The REST API: thin routes, one module a noun; authentication, errors, limits, OpenAPI."""
