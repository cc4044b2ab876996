"""Looks for byte strings in files, and in the memory, environment and arguments of processes; reads a JSON job from stdin."""
import json, os, stat, sys

job = json.load(sys.stdin)
needles = {name: text.encode() for name, text in job["needles"].items()}
longest = max(len(text) for text in needles.values())
page = os.sysconf("SC_PAGE_SIZE")
found = {name: set() for name in needles}
read = {"files": 0, "bytes": 0, "memoryBytes": 0}


def look(data, place):
    for name, text in needles.items():
        if text in data:
            found[name].add(place)


def look_through(fd, start, end, place):
    """Chunks overlap, so that nothing is cut in two."""
    at, tail = start, b""
    while at < end:
        data = os.pread(fd, min(1 << 22, end - at), at)
        if not data:
            break
        look(tail + data, place)
        tail = data[-longest:]
        at += len(data)
        read["bytes"] += len(data)


def look_through_data(fd, place):
    """Holes of sparse files are left out: reading them would fill a memfd."""
    end, at = os.fstat(fd).st_size, 0
    while at < end:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:
            return
        hole = os.lseek(fd, at, os.SEEK_HOLE)
        look_through(fd, at, hole, place)
        at = hole


for root in job.get("paths", []):
    names = [root] if os.path.isfile(root) else [
        os.path.join(folder, name) for folder, _, files in os.walk(root) for name in files]
    for name in names:
        try:
            if not stat.S_ISREG(os.lstat(name).st_mode):
                continue
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            continue
        read["files"] += 1
        look_through_data(fd, name)
        os.close(fd)


def look_at_memory(pid):
    mem = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    pagemap = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY)
    for line in open(f"/proc/{pid}/maps"):
        span, mode = line.split()[:2]
        if "r" not in mode or "[v" in line:
            continue
        start, end = (int(part, 16) for part in span.split("-"))
        for base in range(start, end, 1 << 26):  # pages that are not there stay away
            count = (min(end, base + (1 << 26)) - base) // page
            entries = os.pread(pagemap, count * 8, base // page * 8)
            tail, before = b"", -2
            for index in range(len(entries) // 8):
                if not entries[index * 8 + 7] & 0x80:
                    continue
                try:
                    data = os.pread(mem, page, base + index * page)
                except OSError:
                    continue
                look((tail if before == index - 1 else b"") + data, f"memory of {pid}")
                tail, before = data[-longest:], index
                read["memoryBytes"] += len(data)
    os.close(mem)
    os.close(pagemap)


for pid in job.get("pids", []):
    try:
        for name in ("environ", "cmdline"):
            look(open(f"/proc/{pid}/{name}", "rb").read(), f"{name} of {pid}")
        if pid in job.get("withMemory", []):
            look_at_memory(pid)
            for number in os.listdir(f"/proc/{pid}/fd"):
                if "memfd" in os.readlink(f"/proc/{pid}/fd/{number}"):
                    fd = os.open(f"/proc/{pid}/fd/{number}", os.O_RDONLY)
                    look_through_data(fd, f"memfd of {pid}")
                    os.close(fd)
    except (FileNotFoundError, ProcessLookupError):
        continue

print(json.dumps({"found": {name: sorted(places) for name, places in found.items()}, "read": read}))
