"""Leaves daemons behind that outlive the program: new session, two forks, output closed or kept."""
import os
import time

for number in range(5):
    if os.fork() == 0:
        os.setsid()
        if os.fork() > 0:
            os._exit(0)
        if number % 2 == 0:
            for descriptor in (0, 1, 2):
                os.close(descriptor)
        open(f"/tmp/daemon-{number}", "w").write(str(os.getpid()))
        while True:
            time.sleep(1)
time.sleep(0.3)
print("left behind", flush=True)
