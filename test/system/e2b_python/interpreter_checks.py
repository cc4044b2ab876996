"""E2B's own code interpreter SDK, unchanged, against the live server that the environment names."""

import asyncio
import socket

import e2b_code_interpreter
from e2b_code_interpreter import AsyncSandbox, Sandbox, TimeoutException
from noted import Noted, begin, client_calls, public_of, report, waited

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
    with Sandbox.create(timeout=120, envs={"GIVEN": "at create"}) as real:
        sandbox = Noted(real)
        lines = []
        ran = sandbox.run_code("for i in range(3): print(i)\nx = 40; x + 2", on_stdout=lambda m: lines.append(m.line))
        assert ran.text == "42", ran
        assert "".join(ran.logs.stdout) == "".join(lines) == "0\n1\n2\n", ran.logs
        assert ran.execution_count and ran.results[0].is_main_result
        ran = sandbox.run_code('import os; [os.environ["GIVEN"], os.environ["OWN"]]', envs={"OWN": "o"})
        assert ran.text == "['at create', 'o']", ran
        failed = sandbox.run_code("x / 0")
        assert failed.error.name == "ZeroDivisionError"
        assert "division" in Noted(failed.error).to_json()
        assert "results" in Noted(ran).to_json() and Noted(ran.logs).to_json()
        picture = sandbox.run_code(CHART).results[0]
        assert picture.png.startswith("iVBOR") and {"png", "chart"} <= set(Noted(picture).formats())
        assert picture.chart.title == "T" and picture.chart.x_unit == "s"
        assert picture.chart.elements[0].points == [(1, 3), (2, 4)]
        table = sandbox.run_code("import pandas as pd; pd.DataFrame({'a': [1, 2]})").results[0]
        assert table.data == {"a": [1, 2]} and "<table" in table.html
        context = sandbox.create_code_context(cwd="/tmp")
        assert sandbox.run_code("import os; os.getcwd()", context=context).text == "/tmp"
        contexts(sandbox, context)
        try:
            sandbox.run_code("while True: pass", timeout=1)
            raise AssertionError("no TimeoutException was raised")
        except TimeoutException:
            pass
        assert sandbox.run_code("x").text == "40"
        assert "".join(sandbox.run_code("echo $GIVEN", language="bash").logs.stdout) == "at create\n"


def contexts(sandbox, context):
    assert context.id in [one.id for one in sandbox.list_code_contexts()]
    sandbox.run_code("before = 1", context=context)
    sandbox.restart_code_context(context)
    assert sandbox.run_code("before", context=context).error.name == "NameError"
    sandbox.remove_code_context(context)
    assert context.id not in [one.id for one in sandbox.list_code_contexts()]


def asynchronous():
    real = waited(AsyncSandbox.create(timeout=120))

    async def both():
        return await asyncio.gather(real.run_code("a = 1; a"), real.run_code("b = 2; b"))

    try:
        first, second = waited(both())
        assert (first.text, second.text) == ("1", "2")
        sandbox = Noted(real)
        assert sandbox.run_code("a + b").text == "3"
        contexts(sandbox, sandbox.create_code_context(cwd="/tmp"))
    finally:
        waited(real.kill())


def closed():
    with Sandbox.create("base", timeout=60) as sandbox:  # where nothing listens on the interpreter's port
        try:
            sandbox.run_code("1")
        except TimeoutException:
            return
        raise AssertionError("no TimeoutException was raised")


for half, checks in {"": (blocking, closed), "async": (asynchronous,)}.items():
    begin(half)
    public_of(e2b_code_interpreter, "e2b_code_interpreter.")
    for check in checks:
        check()
    client_calls(e2b_code_interpreter)
print("all found")
report()
