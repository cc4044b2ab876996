"""Code that a model wrote, with retries: what goes wrong in the sandbox goes back into the next question."""

from e2b_code_interpreter import Sandbox

TRIES_MAX = 3


def ask_model(task, last_error):
    """Put your model here; this one learns from the error that it is told, as a good one does."""
    names = "import statistics\n" if last_error and "NameError" in last_error else ""
    return f"# {task}\n{names}statistics.median([4, 8, 15, 16, 23, 42])"


with Sandbox.create() as sandbox:
    last_error = None
    for attempt in range(1, TRIES_MAX + 1):
        execution = sandbox.run_code(ask_model("the median of some numbers", last_error))
        if not execution.error:
            print(f"try {attempt}: {execution.text}")
            break
        last_error = f"{execution.error.name}: {execution.error.value}"
        print(f"try {attempt} failed: {last_error}")
