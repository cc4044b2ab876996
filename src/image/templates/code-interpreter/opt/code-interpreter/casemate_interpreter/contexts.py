"""Contexts: a kernel each, which keeps what was run in it; executions in one context come one after the other."""
import asyncio
import json
import os
import signal
import tempfile
import time
import uuid
from contextlib import suppress
from typing import Any, AsyncIterator, Dict, Mapping, Optional, Set

from jupyter_client import AsyncKernelManager

from .events import Event, error_event, event_of
from .languages import Changes, Language

HOME = os.environ.get("HOME", "/")
# What the sandbox's creator gave it as environment: the agent writes it when the sandbox is claimed.
BOUND_ENVIRONMENT = "/run/casemate/environment.json"
START_SECONDS_MAX = 60
# A kernel that does not stop within this after an interrupt is started anew.
INTERRUPT_SECONDS_MAX = 5
# While a kernel starts, its output is asked for this often.
READY_LOOK_MS = 50
# How often a silent kernel is looked after.
LOOK_SECONDS = 1


class Context:
    def __init__(self, language: Language, cwd: str) -> None:
        self.id = str(uuid.uuid4())
        self.language = language
        self.cwd = cwd
        self._turn = asyncio.Lock()
        self._removed = False
        self._bound: Dict[str, str] = {}
        self._bound_stamp: Optional[int] = None

    def describe(self) -> Dict[str, str]:
        return {"id": self.id, "language": self.language.name, "cwd": self.cwd}

    async def start(self) -> None:
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise

    async def _start(self) -> None:
        self._manager = AsyncKernelManager(kernel_name=self.language.kernel, transport=self.language.transport)
        if self.language.transport == "ipc":
            self._sockets = tempfile.TemporaryDirectory(prefix="kernel-")
            self._manager.ip = os.path.join(self._sockets.name, "socket")
        self._read_bound()
        await self._manager.start_kernel(cwd=self.cwd, env={**os.environ, **self._bound})
        self._client = self._manager.client()
        self._client.start_channels(stdin=False, hb=False)
        await self._ready()

    async def _ready(self) -> None:
        """It answers, and its output is heard: a subscription takes a moment until a kernel knows of it."""
        deadline = time.monotonic() + START_SECONDS_MAX
        wanted = self._client.kernel_info()
        while not await self._client.iopub_channel.socket.poll(READY_LOOK_MS):
            if not await self._manager.is_alive() or time.monotonic() > deadline:
                raise RuntimeError(f"the kernel for {self.language.name} does not start")
            if await self._client.shell_channel.socket.poll(0):
                await self._client.shell_channel.get_msg()
                wanted = self._client.kernel_info()
        while (await self._client.shell_channel.get_msg())["parent_header"].get("msg_id") != wanted:
            pass
        if self.language.prelude:
            self._run_unseen(self.language.prelude)

    async def restart(self) -> None:
        """Ends what runs, if anything does, and starts the kernel anew."""
        before = self._manager
        await self._kill_if_busy()
        async with self._turn:
            if self._manager is before and not self._removed:
                await self._start_anew()

    async def remove(self) -> None:
        self._removed = True
        await self._kill_if_busy()
        async with self._turn:
            await self._stop()

    async def _kill_if_busy(self) -> None:
        if self._turn.locked():
            with suppress(Exception):
                await self._manager.signal_kernel(signal.SIGKILL)

    async def _start_anew(self) -> None:
        await self._stop()
        await self.start()

    async def _stop(self) -> None:
        with suppress(Exception):
            self._client.stop_channels()
        with suppress(Exception):
            await self._manager.shutdown_kernel(now=True)
        if self.language.transport == "ipc":
            self._sockets.cleanup()

    async def execute(self, code: str, env: Mapping[str, str]) -> AsyncIterator[Event]:
        """Runs code; leaving the iteration early interrupts it."""
        async with self._turn:
            self._bind()
            if env:
                self._run_unseen(self.language.environment(env))
            wanted = self._client.execute(code, allow_stdin=False, stop_on_error=False)
            finished = False
            try:
                async for event in self._events({wanted}, wanted):
                    yield event
                if self.language.settle:
                    settled = self._run_unseen(self.language.settle)
                    async for event in self._events({wanted, settled}, settled):
                        if event["type"] != "number_of_executions":
                            yield event
                finished = True
            finally:
                if not finished and not self._removed:
                    await self._interrupt(wanted)
                if env:
                    self._run_unseen(self.language.environment({name: self._usual(name) for name in env}))
        yield {"type": "end_of_execution"}

    async def _events(self, parents: Set[str], last: str) -> AsyncIterator[Event]:
        """What is said of executions, until the kernel is done with the last of them."""
        while True:
            # Polled, not cancelled after a while: a message that comes at that moment would be lost.
            if not await self._client.iopub_channel.socket.poll(LOOK_SECONDS * 1000):
                if await self._manager.is_alive():
                    continue
                if not self._removed:
                    await self._start_anew()
                yield error_event("UnexpectedEndOfExecution", "The kernel has ended, and its variables with it.", "")
                return
            message = await self._client.iopub_channel.get_msg()
            parent = message["parent_header"].get("msg_id")
            if parent not in parents:
                continue
            if message["header"]["msg_type"] == "status":
                if parent == last and message["content"]["execution_state"] == "idle":
                    return
                continue
            event = event_of(message, self.language.shows_results)
            if event is not None:
                yield event

    async def _interrupt(self, wanted: str) -> None:
        await self._manager.interrupt_kernel()
        try:
            async with asyncio.timeout(INTERRUPT_SECONDS_MAX):
                async for _ in self._events({wanted}, wanted):
                    pass
        except TimeoutError:
            await self._start_anew()

    def _run_unseen(self, code: str) -> str:
        """Kernels work in order: what comes next finds it done. Its output belongs to nobody and is passed over."""
        return self._client.execute(code, silent=True, store_history=False, allow_stdin=False, stop_on_error=False)

    def _usual(self, name: str) -> Optional[str]:
        return self._bound.get(name, os.environ.get(name))

    def _bind(self) -> None:
        """A kernel that ran before the sandbox was claimed gets the environment that it was claimed with."""
        before = self._bound
        if self._read_bound():
            changes: Changes = {name: value for name, value in self._bound.items() if before.get(name) != value}
            if changes:
                self._run_unseen(self.language.environment(changes))

    def _read_bound(self) -> bool:
        try:
            stamp = os.stat(BOUND_ENVIRONMENT).st_mtime_ns
            if stamp == self._bound_stamp:
                return False
            with open(BOUND_ENVIRONMENT, encoding="utf-8") as file:
                self._bound = json.load(file)
            self._bound_stamp = stamp
            return True
        except FileNotFoundError:
            return False


class Contexts:
    """All contexts of the sandbox, and the one of each kernel that runs what names none."""

    def __init__(self) -> None:
        self._all: Dict[str, Context] = {}
        self._defaults: Dict[str, Any] = {}

    def list(self) -> list:
        return [context.describe() for context in self._all.values()]

    def find(self, context_id: str) -> Optional[Context]:
        return self._all.get(context_id)

    async def create(self, language: Language, cwd: str) -> Context:
        context = Context(language, cwd)
        await context.start()
        self._all[context.id] = context
        return context

    async def default(self, language: Language) -> Context:
        """Two that ask at once get the same one; languages of one kernel (JavaScript, TypeScript) share it."""
        key = language.kernel
        if key not in self._defaults:
            self._defaults[key] = asyncio.ensure_future(self.create(language, HOME))
        try:
            context: Context = await asyncio.shield(self._defaults[key])
        except Exception:
            self._defaults.pop(key, None)
            raise
        if context.id in self._all:
            return context
        del self._defaults[key]
        return await self.default(language)

    async def remove(self, context: Context) -> None:
        del self._all[context.id]
        await context.remove()
