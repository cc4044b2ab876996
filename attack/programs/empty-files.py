"""Makes a million empty files: no bytes, only inodes."""
import os

os.makedirs("/tmp/many", exist_ok=True)
for number in range(1_000_000):
    os.close(os.open(f"/tmp/many/{number}", os.O_CREAT | os.O_WRONLY))
    if number % 50_000 == 0:
        print(number, flush=True)
print("all made")
