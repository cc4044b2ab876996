"""E2B's own Python SDK, unchanged, against the live server that the environment names. Prints one line a check."""

import asyncio
import os
import sys
import time
import traceback

from e2b import (
    AsyncSandbox,
    AuthenticationException,
    CommandExitException,
    InvalidArgumentException,
    NotEnoughSpaceException,
    NotFoundException,
    PtySize,
    Sandbox,
    SandboxException,
    SandboxQuery,
    SandboxState,
    TimeoutException,
)

checks = []
# A year ago there was no `git` and no way to close a program's stdin.
NEW = hasattr(Sandbox, "git")


def check(work):
    checks.append(work)
    return work


def raises(kind, work, text=""):
    try:
        work()
    except kind as error:
        assert text in str(error), str(error)
        return error
    raise AssertionError(f"no {kind.__name__} was raised")


@check
def lifecycle(sandbox):
    with Sandbox.create(metadata={"for": "life & time"}, timeout=60) as made:
        info = made.get_info()
        assert info.sandbox_id == made.sandbox_id and info.template_id == "base"
        assert info.metadata == {"for": "life & time"} and info.state == SandboxState.RUNNING
        pages = Sandbox.list(query=SandboxQuery(metadata={"for": "life & time"}))
        assert [one.sandbox_id for one in pages.next_items()] == [made.sandbox_id]
        assert made.is_running()
        made.set_timeout(120)
        assert (made.get_info().end_at - info.end_at).total_seconds() > 30
        assert Sandbox.connect(made.sandbox_id).sandbox_id == made.sandbox_id
        assert made.kill() and not made.is_running()
        assert Sandbox.kill(made.sandbox_id) is False
        raises(NotFoundException, made.get_info)


@check
def pauses(sandbox):
    made = Sandbox.create(timeout=60) if NEW else Sandbox.beta_create(timeout=60, auto_pause=True)
    made.files.write("kept", "words")
    made.pause() if NEW else made.beta_pause()
    assert Sandbox.connect(made.sandbox_id, timeout=60).files.read("kept") == "words"
    if NEW:
        taken = made.create_snapshot(name="from-python")
        assert [one.snapshot_id for one in Sandbox.list_snapshots(name="from-python").next_items()] == [taken.snapshot_id]
        with Sandbox.create(taken.snapshot_id) as child:
            assert child.files.read("kept") == "words"
        assert Sandbox.delete_snapshot(taken.snapshot_id) is True
        [fork] = made.fork()
        assert fork.files.read("kept") == "words" and fork.kill()
        waking = Sandbox.create(timeout=60, lifecycle={"on_timeout": "pause", "auto_resume": True})
        waking.pause()
        assert waking.commands.run("echo awake").stdout == "awake\n" and waking.kill()
    assert made.kill()


@check
def commands(sandbox):
    heard = []
    result = sandbox.commands.run("echo out; echo err >&2", on_stdout=heard.append)
    assert (result.stdout, result.stderr, result.exit_code, heard) == ("out\n", "err\n", 0, ["out\n"])
    error = raises(CommandExitException, lambda: sandbox.commands.run("echo half; exit 7"))
    assert (error.exit_code, error.stdout) == (7, "half\n")
    assert sandbox.commands.run("echo $A $GIVEN; pwd; whoami", envs={"A": "b"}, cwd="/usr", user="root").stdout == (
        "b at create\n/usr\nroot\n"
    )
    raises(TimeoutException, lambda: sandbox.commands.run("sleep 30", timeout=0.5))
    raises(InvalidArgumentException, lambda: sandbox.commands.run("true", cwd="/no/where"))
    raises(AuthenticationException, lambda: sandbox.commands.run("true", user="nobody-here"))


@check
def background(sandbox):
    cat = sandbox.commands.run("cat; true" if NEW else "head -n 1", background=True, stdin=True)
    assert cat.pid in [process.pid for process in sandbox.commands.list()]
    sandbox.commands.send_stdin(cat.pid, "typed\n")
    if NEW:
        sandbox.commands.close_stdin(cat.pid)
    assert cat.wait().stdout == "typed\n"
    sleeper = sandbox.commands.run("sleep 30", background=True)
    other = sandbox.commands.connect(sleeper.pid)
    assert other.kill()
    assert raises(CommandExitException, sleeper.wait).error == "signal: killed"
    assert not sandbox.commands.kill(sleeper.pid)


@check
def files(sandbox):
    data = bytes(place % 251 for place in range(300_000))
    assert sandbox.files.write("deep/er/name.txt", "text ü").path == "/home/user/deep/er/name.txt"
    assert sandbox.files.read("deep/er/name.txt") == "text ü"
    sandbox.files.write("/tmp/bytes", data)
    assert bytes(sandbox.files.read("/tmp/bytes", format="bytes")) == data
    assert b"".join(sandbox.files.read("/tmp/bytes", format="stream")) == data
    written = sandbox.files.write_files([{"path": f"many/{i}", "data": str(i)} for i in range(5)])
    assert [entry.name for entry in written] == ["0", "1", "2", "3", "4"]
    assert [entry.name for entry in sandbox.files.list("many")] == ["0", "1", "2", "3", "4"]
    info = sandbox.files.get_info("many/0")
    assert (info.size, info.owner, info.permissions) == (1, "user", "-rw-r--r--")
    assert sandbox.files.make_dir("made") and not sandbox.files.make_dir("made")
    assert sandbox.files.rename("many/0", "made/moved").path == "/home/user/made/moved"
    assert sandbox.files.exists("made/moved") and not sandbox.files.exists("many/0")
    sandbox.files.remove("made")
    sandbox.files.remove("made")
    raises(NotFoundException, lambda: sandbox.files.read("none"))
    raises(NotFoundException, lambda: sandbox.files.list("none"))
    raises(InvalidArgumentException, lambda: sandbox.files.read("/usr"))


@check
def watching(sandbox):
    sandbox.files.make_dir("watched")
    handle = sandbox.files.watch_dir("watched")
    sandbox.files.write("watched/new", "x")
    names = set()
    for _ in range(50):
        names |= {(event.type.value, event.name) for event in handle.get_new_events()}
        if ("create", "new") in names:
            break
        time.sleep(0.1)
    assert ("create", "new") in names, names
    handle.stop()
    raises(SandboxException, handle.get_new_events)
    raises(NotFoundException, lambda: sandbox.files.watch_dir("none"))


@check
def terminal(sandbox):
    handle = sandbox.pty.create(PtySize(rows=24, cols=80))
    sandbox.pty.send_stdin(handle.pid, b"stty size; exit 3\n")
    screen = []
    error = raises(CommandExitException, lambda: handle.wait(on_pty=lambda data: screen.append(bytes(data))))
    assert error.exit_code == 3 and b"24 80" in b"".join(screen)


@check
def git(sandbox):
    if not NEW:
        return
    sandbox.git.init("/home/user/repository", initial_branch="main")
    assert sandbox.git.status("/home/user/repository").current_branch == "main"


@check
def errors(sandbox):
    wrong = "e2b_" + "0" * 40
    raises(AuthenticationException, lambda: Sandbox.create(api_key=wrong))
    raises(NotFoundException, lambda: Sandbox.connect("nothing"))
    raises(SandboxException, lambda: Sandbox.create(template="no-such-template"), "no-such-template")
    metrics = sandbox.get_metrics()
    assert metrics and metrics[0].mem_used > 0
    small = Sandbox.connect(os.environ["SMALL_SANDBOX"])  # of 64 MiB

    def fill():
        for at in range(8):
            small.files.write(f"/tmp/big-{at}", bytes(16 * 1024 * 1024))

    raises(NotEnoughSpaceException, fill)
    small.kill()


@check
def asynchronous(sandbox):
    async def run():
        made = await AsyncSandbox.create()
        results = await asyncio.gather(*(made.commands.run(f"echo {i}") for i in range(20)))
        assert [result.stdout.strip() for result in results] == [str(i) for i in range(20)]
        events = []
        await made.files.make_dir("watched")
        handle = await made.files.watch_dir("watched", on_event=events.append)
        await made.files.write("watched/new", "x")
        for _ in range(50):
            if any(event.name == "new" for event in events):
                break
            await asyncio.sleep(0.1)
        assert any(event.name == "new" for event in events)
        await handle.stop()
        running = await made.commands.run("sleep 30", background=True)
        await made.kill()
        try:
            await running.wait()
        except (TimeoutException, NotFoundException):
            return
        raise AssertionError("a killed sandbox was not told of")

    asyncio.run(run())


def main():
    failed = False
    sandbox = Sandbox.create(envs={"GIVEN": "at create"}, timeout=600)
    for work in checks:
        try:
            work(sandbox)
            print(f"ok {work.__name__}", flush=True)
        except Exception:
            failed = True
            reason = traceback.format_exc()
            print(f"failed {work.__name__}\n{reason}", file=sys.stderr, flush=True)
    sandbox.kill()
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    assert os.environ["E2B_API_URL"], "the environment names no server"
    main()
