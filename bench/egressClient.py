"""Runs where a sandbox stands (any Python 3): times connections, requests and flows, and prints them as one line of JSON.

Ways are taken in turns, so that what disturbs the machine disturbs all of them.
"""
import json
import socket
import ssl
import sys
import time

plan = json.loads(sys.argv[1])
context = ssl.create_default_context()
context.check_hostname = False  # each way shows another authority's certificate
context.verify_mode = ssl.CERT_NONE
addresses = {}


def address_of(host):
    if host not in addresses:
        addresses[host] = socket.gethostbyname(host)
    return addresses[host]


def reached(way):
    """TCP to the server, by a CONNECT where the way leads through a proxy that has to be asked."""
    stream = socket.create_connection((address_of(way["host"]), way["port"]), timeout=60)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if "connect" in way:
        stream.sendall(("CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (way["connect"], way["connect"])).encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += stream.recv(1)
        if b" 200 " not in answer.split(b"\r\n")[0] + b" ":
            raise OSError("CONNECT was answered with %r" % answer[:80])
    return stream


def secured(way):
    return context.wrap_socket(reached(way), server_hostname=way["name"])


def ask(stream, way, path):
    """The number of bytes in the answer's body."""
    stream.sendall(("GET %s HTTP/1.1\r\nHost: %s:%d\r\n\r\n" % (path, way["name"], way["serverPort"])).encode())
    buffer = bytearray(262144)
    view = memoryview(buffer)
    have = 0
    while b"\r\n\r\n" not in buffer[:have]:
        got = stream.recv_into(view[have:])
        if got == 0:
            raise OSError("closed")
        have += got
    head, _, rest = bytes(buffer[:have]).partition(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n")[0]:
        raise OSError("answered with %r" % head[:80])
    length = int([line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")][0][15:])
    left = length - len(rest)
    while left > 0:
        got = stream.recv_into(buffer)
        if got == 0:
            raise OSError("closed")
        left -= got
    return length


def hello(way):
    """The first bytes of a real handshake."""
    outgoing = ssl.MemoryBIO()
    half = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=way["name"])
    try:
        half.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()


def timed(work):
    begun = time.perf_counter()
    result = work()
    return (time.perf_counter() - begun) * 1000, result


def new_connections(ways, rounds):
    taken = {name: [] for name in ways}
    for turn in range(rounds + 3):
        for name, way in ways.items():
            def whole():
                stream = secured(way)
                ask(stream, way, "/")
                return stream
            ms, stream = timed(whole)
            stream.close()
            if turn >= 3:
                taken[name].append(ms)
    return taken


def kept_requests(ways, rounds):
    streams = {name: secured(way) for name, way in ways.items()}
    taken = {name: [] for name in ways}
    for turn in range(rounds + 5):
        for name, way in ways.items():
            ms, _ = timed(lambda: ask(streams[name], way, "/"))
            if turn >= 5:
                taken[name].append(ms)
    return taken


def flow(way, size):
    """MiB/s of a flow that begins as TLS does and is not encrypted after that: the way's cost, not a cipher's."""
    stream = reached(way)
    stream.sendall(hello(way))
    buffer = bytearray(262144)
    stream.recv_into(buffer, 1)
    left = size
    begun = time.perf_counter()
    while left > 0:
        got = stream.recv_into(buffer)
        if got == 0:
            raise OSError("closed")
        left -= got
    seconds = time.perf_counter() - begun
    stream.close()
    return size / seconds / 1048576


def download(way, size):
    stream = secured(way)
    ms, length = timed(lambda: ask(stream, way, "/bytes/%d" % size))
    stream.close()
    return length / ms / 1048.576


def in_turns(ways, rounds, work):
    taken = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            taken[name].append(work(way))
    return taken


print(json.dumps({
    "fresh": new_connections(plan["requests"], plan["rounds"]),
    "kept": kept_requests(plan["requests"], plan["rounds"]),
    "flow": in_turns(plan["flows"], plan["flowRounds"], lambda way: flow(way, plan["flowBytes"])),
    "download": in_turns(plan["downloads"], plan["flowRounds"], lambda way: download(way, plan["downloadBytes"])),
}))
