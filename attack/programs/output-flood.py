"""Prints as fast as it can, without a single newline."""
import os

chunk = b"x" * (1024 * 1024)
while True:
    os.write(1, chunk)
