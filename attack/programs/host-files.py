"""Looks for the host in every place where a careless sandbox shows it. Takes a marker that only the host's files hold."""
import glob
import os
import sys

marker = sys.argv[1].encode() if len(sys.argv) > 1 else b"no marker given"
places = [
    "/proc/1/root/etc/shadow",
    "/proc/1/environ",
    "/proc/1/cwd/../../../../etc/shadow",
    "/proc/kcore",
    "/proc/sysrq-trigger",
    "/sys/fs/cgroup/release_agent",
    "/sys/kernel/security",
    "/var/run/docker.sock",
    "/run/containerd/containerd.sock",
    "/dev/mem",
    "/dev/kmsg",
    "/dev/vda",
    "/dev/sda",
    "/dev/kvm",
    *(sys.argv[2:]),
    *(path for path in sys.argv[2:] for path in ("/proc/self/root" + path, "/../../../.." + path)),
]
found = 0
for path in places:
    try:
        with open(path, "rb") as opened:
            data = opened.read(1 << 20)
        if marker in data:
            found += 1
            print("LEAK", path)
    except OSError as error:
        print("no", path, error.strerror)
for link in glob.glob("/proc/[0-9]*/fd/*"):
    try:
        target = os.readlink(link)
        if target.startswith("/var/lib/casemate") or "disk.img" in target:
            found += 1
            print("LEAK", link, target)
    except OSError:
        pass
for escape in ("mount -t cgroup none /mnt", "mknod /tmp/disk b 254 0", "unshare -m true"):
    print("tried", escape, os.system(f"sudo -n {escape} >/dev/null 2>&1"))
try:
    device = open("/tmp/disk", "rb").read(64 << 20)
    print("a block device opened,", len(device), "bytes")
    if marker in device:
        found += 1
        print("LEAK: the host's marker is on it")
except OSError as error:
    print("no block device:", error.strerror)
print("found", found)
