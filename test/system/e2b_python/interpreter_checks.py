"""E2B's own code interpreter SDK, unchanged, against the live server that the environment names."""

import asyncio
import socket

from e2b_code_interpreter import AsyncSandbox, Sandbox, TimeoutException

# In place of the wildcard record that a team would have.
_resolve = socket.getaddrinfo


def resolve(host, *more, **named):
    name = host.decode() if isinstance(host, bytes) else str(host)
    return _resolve("127.0.0.1" if name.endswith("sandboxes.test") else host, *more, **named)


socket.getaddrinfo = resolve

CHART = """
import matplotlib.pyplot as plt
plt.plot([1, 2], [3, 4], label='a'); plt.title('T'); plt.xlabel('x (s)')
plt.show()
"""


def blocking():
    with Sandbox.create(timeout=120, envs={"GIVEN": "at create"}) as sandbox:
        lines = []
        ran = sandbox.run_code("for i in range(3): print(i)\nx = 40; x + 2", on_stdout=lambda m: lines.append(m.line))
        assert ran.text == "42", ran
        assert "".join(ran.logs.stdout) == "".join(lines) == "0\n1\n2\n", ran.logs
        assert ran.execution_count and ran.results[0].is_main_result
        ran = sandbox.run_code('import os; [os.environ["GIVEN"], os.environ["OWN"]]', envs={"OWN": "o"})
        assert ran.text == "['at create', 'o']", ran
        assert sandbox.run_code("x / 0").error.name == "ZeroDivisionError"
        picture = sandbox.run_code(CHART).results[0]
        assert picture.png.startswith("iVBOR") and {"png", "chart"} <= set(picture.formats())
        assert picture.chart.title == "T" and picture.chart.x_unit == "s"
        assert picture.chart.elements[0].points == [(1, 3), (2, 4)]
        table = sandbox.run_code("import pandas as pd; pd.DataFrame({'a': [1, 2]})").results[0]
        assert table.data == {"a": [1, 2]} and "<table" in table.html
        context = sandbox.create_code_context(cwd="/tmp")
        assert sandbox.run_code("import os; os.getcwd()", context=context).text == "/tmp"
        if hasattr(sandbox, "list_code_contexts"):
            assert context.id in [one.id for one in sandbox.list_code_contexts()]
            sandbox.restart_code_context(context)
            sandbox.remove_code_context(context)
        try:
            sandbox.run_code("while True: pass", timeout=1)
            raise AssertionError("no TimeoutException was raised")
        except TimeoutException:
            pass
        assert sandbox.run_code("x").text == "40"
        assert "".join(sandbox.run_code("echo $GIVEN", language="bash").logs.stdout) == "at create\n"


async def asynchronous():
    sandbox = await AsyncSandbox.create(timeout=120)
    try:
        first, second = await asyncio.gather(sandbox.run_code("a = 1; a"), sandbox.run_code("b = 2; b"))
        assert (first.text, second.text) == ("1", "2")
        assert (await sandbox.run_code("a + b")).text == "3"
    finally:
        await sandbox.kill()


def closed():
    with Sandbox.create("base", timeout=60) as sandbox:  # where nothing listens on the interpreter's port
        try:
            sandbox.run_code("1")
        except TimeoutException:
            return
        raise AssertionError("no TimeoutException was raised")


blocking()
closed()
asyncio.run(asynchronous())
print("all found")
