"""The languages that can be run: which kernel each has, and how its environment is changed while it runs."""
import json
from dataclasses import dataclass
from typing import Callable, Mapping, Optional, Sequence

# A value of None takes the variable away.
Changes = Mapping[str, Optional[str]]


@dataclass(frozen=True)
class Language:
    name: str
    kernel: str
    # "ipc" where the kernel can: sockets of the file system cost less than TCP, most of all under an application kernel.
    transport: str
    environment: Callable[[Changes], str]
    # Run once in each new kernel, unseen.
    prelude: str = ""
    # Code that does nothing, run after each execution of a kernel that may tell the last value after it said that it is
    # idle (Deno's does): when this has run, the value is there.
    settle: str = ""
    # Whether the kernel shows the values of a cell, where others answer its last one.
    shows_results: bool = False


def _python(changes: Changes) -> str:
    settings = {name: value for name, value in changes.items() if value is not None}
    gone = [name for name, value in changes.items() if value is None]
    return (
        f"__import__('os').environ.update({settings!r});"
        f"[__import__('os').environ.pop(__name, None) for __name in {gone!r}]"
    )


def _deno(changes: Changes) -> str:
    lines = [
        f"Deno.env.delete({json.dumps(name)});" if value is None
        else f"Deno.env.set({json.dumps(name)}, {json.dumps(value)});"
        for name, value in changes.items()
    ]
    return "".join(lines) + "undefined"


def _bash(changes: Changes) -> str:
    return "\n".join(
        f"unset {name}" if value is None else f"export {name}={_single_quoted(value)}"
        for name, value in changes.items()
    )


def _single_quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _r(changes: Changes) -> str:
    lines = [
        f"Sys.unsetenv({json.dumps(name)})" if value is None
        else f"Sys.setenv(`{name}` = {json.dumps(value)})"
        for name, value in changes.items()
    ]
    return f"invisible({{{';'.join(lines)}}})"


def _java(changes: Changes) -> str:
    """A Java program cannot change its environment: what a run is given are system properties, as with E2B."""
    return "".join(
        f"System.clearProperty({json.dumps(name)});" if value is None
        else f"System.setProperty({json.dumps(name)}, {json.dumps(value)});"
        for name, value in changes.items()
    )


_REQUIRE = "globalThis.require = (await import('node:module')).createRequire(Deno.cwd() + '/'); undefined"
LANGUAGES: Sequence[Language] = (
    Language("python", "python3", "ipc", _python),
    Language("bash", "bash", "ipc", _bash),
    Language("javascript", "deno", "tcp", _deno, _REQUIRE, settle="undefined"),
    Language("typescript", "deno", "tcp", _deno, _REQUIRE, settle="undefined"),
    Language("r", "ir", "ipc", _r, shows_results=True),
    Language("java", "java", "tcp", _java),
)
_ALIASES = {"js": "javascript", "ts": "typescript", "py": "python", "python3": "python", "sh": "bash"}


def find_language(name: Optional[str]) -> Optional[Language]:
    """The language of that name or alias, Python where none is given, None where it is not known."""
    wanted = (name or "python").lower()
    wanted = _ALIASES.get(wanted, wanted)
    return next((language for language in LANGUAGES if language.name == wanted), None)
