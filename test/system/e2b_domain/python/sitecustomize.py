"""Resolves every name below `sandboxes.test` to this machine, in place of the wildcard record that a team would have."""

import socket

_resolve = socket.getaddrinfo


def resolve(host, *more, **named):
    name = host.decode() if isinstance(host, bytes) else str(host)
    return _resolve("127.0.0.1" if name.endswith("sandboxes.test") else host, *more, **named)


socket.getaddrinfo = resolve
