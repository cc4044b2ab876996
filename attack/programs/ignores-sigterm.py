"""Refuses to end when it is asked politely, and so do its children."""
import os
import signal
import time

for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
    signal.signal(number, signal.SIG_IGN)
for _ in range(3):
    if os.fork() == 0:
        break
print("ignoring", flush=True)
while True:
    time.sleep(1)
