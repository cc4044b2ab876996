"""The code interpreter of this template: an HTTP server, and what its Python kernel loads."""
