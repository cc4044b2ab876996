"""Writes until the disk is full, then shows that freeing makes room again."""
import os

path = "/tmp/fill"
chunk = os.urandom(1024 * 1024)
written = 0
try:
    with open(path, "wb", buffering=0) as fill:
        while written < 64 * 1024:
            if fill.write(chunk) < len(chunk):
                raise OSError(28, "a short write")
            written += 1
    print("no error before", written, "MiB")
except OSError as error:
    print("stopped:", error.strerror)
print("wrote", written, "MiB")
os.remove(path)
try:
    with open("/tmp/after", "wb") as after:
        after.write(chunk)
    print("room again")
except OSError as error:
    print("no room after removing:", error.strerror)
