"""Streaming: shows what a long program says while it runs, answers its question, and ends it early."""

from e2b import Sandbox

with Sandbox.create() as sandbox:
    sandbox.commands.run(
        'for i in 1 2 3; do echo "step $i"; sleep 0.2; done',
        on_stdout=lambda text: print(text, end=""),
    )
    asking = sandbox.commands.run('read -r name; echo "hello $name"', background=True, stdin=True)
    sandbox.commands.send_stdin(asking.pid, "Ada\n")
    print(asking.wait().stdout, end="")
    endless = sandbox.commands.run("while true; do sleep 1; done", background=True, timeout=0)
    print(f"ended early: {endless.kill()}")
