"""Uses volumes with E2B's Python SDK on the live server that the environment names."""

from e2b import Sandbox, Volume
from e2b.exceptions import VolumePathNotFoundException

volume = Volume.create("from-python")


def files():
    assert volume.write_file("/a/b.txt", "words", force=True).size == 5
    assert volume.read_file("/a/b.txt") == "words"
    assert [entry.path for entry in volume.list("/", depth=2)] == ["/a", "/a/b.txt"]
    assert volume.make_dir("/c").path == "/c"
    assert volume.update_metadata("/a/b.txt", mode=0o600).mode == 0o600
    assert volume.exists("/c") and not volume.exists("/d")
    try:
        volume.read_file("/d")
    except VolumePathNotFoundException:
        pass
    else:
        raise AssertionError("a missing file was read")
    volume.remove("/c")


def mounted():
    with Sandbox.create(timeout=60, volume_mounts={"/data": volume}) as sandbox:
        assert sandbox.commands.run("cat /data/a/b.txt; echo more > /data/more").stdout == "words"
    assert volume.read_file("more") == "more\n"
    assert Volume.destroy(volume.volume_id)


for check in (files, mounted):
    check()
    print("ok", check.__name__)
