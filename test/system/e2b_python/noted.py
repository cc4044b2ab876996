"""Notes what became of each public call of E2B's Python SDKs. What is asynchronous is waited for, so that one program calls both halves."""

import asyncio
import inspect
import json

# What the documentation calls a class's own calls, and those of its objects.
SHOWN = {
    "Sandbox": ("Sandbox", "sandbox"),
    "SandboxPaginator": ("", "SandboxPaginator"),
    "SnapshotPaginator": ("", "SnapshotPaginator"),
    "SecretPaginator": ("", "SecretPaginator"),
    "Commands": ("", "commands"),
    "CommandHandle": ("", "CommandHandle"),
    "CommandInputHandle": ("", "CommandInputHandle"),
    "Filesystem": ("", "files"),
    "WatchHandle": ("", "WatchHandle"),
    "Pty": ("", "pty"),
    "Git": ("", "git"),
    "Template": ("Template", "template"),
    "TemplateBuilder": ("", "template"),
    "ReadyCmd": ("", "ReadyCmd"),
    "Volume": ("Volume", "volume"),
    "Secret": ("Secret", ""),
    "Result": ("", "Result"),
    "Execution": ("", "Execution"),
    "ExecutionError": ("", "ExecutionError"),
    "Logs": ("", "Logs"),
    "_VNCServer": ("", "stream"),
}
# They reach no server: they hold addresses, or read what it answered.
INNER = ["ApiClient", "ConnectionConfig", "VolumeConnectionConfig", "EntryInfo", "WriteInfo", "Context", "TemplateBase"]
# They are the same in both halves.
SHARED = ["functions", "ReadyCmd", "Result", "Execution", "ExecutionError", "Logs"]
UNCALLED = "no test calls it"

_loop = asyncio.new_event_loop()
_halves = {}
_half = ""


def begin(half):
    """From here on calls are those of a half of the SDK: "" for what blocks, "async" for the other."""
    global _half
    _half = half
    _halves.setdefault(half, {})


def report():
    """Prints what became of all calls."""
    for call, became in _halves[""].items():
        if "async" in _halves and call.split(".")[0] in SHARED:
            _halves["async"].setdefault(call, became)
    print(json.dumps(_halves))


def waited(result):
    return _loop.run_until_complete(result) if inspect.isawaitable(result) else result


async def _inside(work):
    """Some calls of the asynchronous half answer at once, and ask for a loop that runs all the same."""
    result = work()
    return await result if inspect.isawaitable(result) else result


class Noted:
    """A class or an object whose calls are noted: did one ever come to a good end, else why not."""

    def __init__(self, target):
        shown = SHOWN[(target if inspect.isclass(target) else type(target)).__name__.removeprefix("Async")]
        self.target, self.shown = target, shown[0 if inspect.isclass(target) else 1]

    def __getattr__(self, name):
        real = getattr(self.target, name)
        if not callable(real):
            return real

        def noted(*given, **named):
            return note([f"{self.shown}.{name}"], lambda: real(*given, **named))

        return noted


def note(calls, work):
    """Notes for calls what became of the work that they are in, and hands on how it ended."""
    outcomes = _halves[_half]
    try:
        result = _loop.run_until_complete(_inside(work)) if _half == "async" else work()
    except Exception as error:
        outcomes.update({call: str(error) for call in calls if outcomes.get(call) != "✓"})
        raise
    outcomes.update({call: "✓" for call in calls})
    return result


def tried(work):
    """What fails is noted, and is the table's to say; what an older version lacks is not there."""
    try:
        return waited(work())
    except Exception:
        return None


def public(kind, only=None):
    """Lists what a class has: its own calls, those of its objects, and those that both have."""
    of_class, of_objects = SHOWN[kind.__name__.removeprefix("Async")]
    outcomes = _halves[_half]
    for name in dir(kind) if only is None else only:
        if name.startswith("_") or not callable(getattr(kind, name)):
            continue
        found = inspect.getattr_static(kind, name)
        if not inspect.isfunction(found):
            outcomes.setdefault(f"{of_class}.{name}", UNCALLED)
        if not isinstance(found, (staticmethod, classmethod)):
            outcomes.setdefault(f"{of_objects}.{name}", UNCALLED)


def public_of(module, package):
    """Lists what a package exports, for the half at hand; a class that is not known is an error."""
    for name, found in vars(module).items():
        if name.startswith("_") or not getattr(found, "__module__", "").startswith(package):
            continue
        if inspect.isfunction(found) and _half == "":
            _halves[_half].setdefault(f"functions.{name}", UNCALLED)
        if not inspect.isclass(found) or issubclass(found, (BaseException, dict, str, bytes)):
            continue
        own = [call for call in dir(found) if not call.startswith("_") and callable(getattr(found, call))]
        known = name.removeprefix("Async") in SHOWN
        assert known or name in INNER or own == [], f"the SDK has a class {name} that no table knows"
        if known and name.startswith("Async") == (_half == "async"):
            public(found, None if package == "e2b." else vars(found))


def client_calls(module):
    """The SDK's classes, bound to options; a year ago there was no such thing."""
    import os

    if not hasattr(module, "E2B"):
        return
    key = os.environ.pop("E2B_API_KEY")
    client = module.E2B(api_key=key)
    works = {
        "Sandbox": lambda kind: kind.list().next_items(),
        "Template": lambda kind: kind.exists("base"),
        "Volume": lambda kind: kind.list(),
        "Secret": lambda kind: kind.exists("SECRET"),
    }
    for name, kind in vars(client).items():
        if not name.startswith("_") and name.startswith("Async") == (_half == "async"):
            note([f"E2B.{name.removeprefix('Async')}"], lambda: works[name.removeprefix("Async")](kind))
    os.environ["E2B_API_KEY"] = key
