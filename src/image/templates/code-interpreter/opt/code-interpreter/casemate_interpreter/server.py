"""E2B's code interpreter over HTTP: runs code and streams what it says, makes and removes contexts."""
import asyncio
import gc
import json
import os
from typing import Any, AsyncIterator, Dict, Mapping, Optional

import tornado.httpserver
import tornado.web

from .contexts import HOME, Context, Contexts
from .events import Event
from .languages import find_language

# Said while a program says nothing, so that nobody between takes the connection for dead.
KEEPALIVE_SECONDS = 5


class Handler(tornado.web.RequestHandler):
    def initialize(self, contexts: Contexts) -> None:
        self.contexts = contexts

    def body(self) -> Dict[str, Any]:
        try:
            body = json.loads(self.request.body or b"{}")
        except ValueError:
            raise tornado.web.HTTPError(400, reason="The body is not JSON") from None
        if not isinstance(body, dict):
            raise tornado.web.HTTPError(400, reason="The body is not an object")
        return body

    def context(self, context_id: str) -> Context:
        context = self.contexts.find(context_id)
        if context is None:
            raise tornado.web.HTTPError(404, reason="Context not found")
        return context

    def write_error(self, status_code: int, **_: Any) -> None:
        self.finish(json.dumps({"code": status_code, "message": self._reason}))


def language_of(body: Mapping[str, Any]) -> Any:
    language = find_language(body.get("language"))
    if language is None:
        raise tornado.web.HTTPError(400, reason="There is no kernel for this language")
    return language


class Health(Handler):
    async def get(self) -> None:
        self.finish('"OK"')


class Execute(Handler):
    _running: Optional["asyncio.Task[None]"] = None

    async def post(self) -> None:
        body = self.body()
        context_id, language = body.get("context_id"), body.get("language")
        if context_id and language:
            raise tornado.web.HTTPError(400, reason="Give context_id or language, not both")
        if not isinstance(body.get("code"), str):
            raise tornado.web.HTTPError(400, reason="The code is missing")
        if context_id:
            context = self.context(str(context_id))
        else:
            context = await self.contexts.default(language_of(body))
        self.set_header("content-type", "application/x-ndjson")
        self._running = asyncio.ensure_future(self._stream(context.execute(body["code"], body.get("env_vars") or {})))
        try:
            await self._running
        except asyncio.CancelledError:
            pass  # the caller is gone, and what it ran is interrupted

    async def _stream(self, events: AsyncIterator[Event]) -> None:
        """Asks for the next event beside the clock: cancelling an iteration for a keepalive would interrupt the code."""
        upcoming: Optional["asyncio.Future[Event]"] = None
        try:
            while True:
                upcoming = upcoming or asyncio.ensure_future(events.__anext__())
                done, _ = await asyncio.wait({upcoming}, timeout=KEEPALIVE_SECONDS)
                if not done:
                    await self._send({"type": "keepalive"})
                    continue
                try:
                    event = upcoming.result()
                except StopAsyncIteration:
                    return
                finally:
                    upcoming = None
                await self._send(event)
        finally:
            if upcoming is not None:
                upcoming.cancel()
                await asyncio.wait({upcoming})
            await events.aclose()

    async def _send(self, event: Event) -> None:
        # In ASCII: E2B's SDK for JavaScript decodes every piece that arrives by itself, and breaks letters that two share.
        self.write(json.dumps(event) + "\n")
        await self.flush()

    def on_connection_close(self) -> None:
        if self._running is not None:
            self._running.cancel()


class ContextList(Handler):
    async def get(self) -> None:
        self.finish(json.dumps(self.contexts.list()))

    async def post(self) -> None:
        body = self.body()
        cwd = body.get("cwd") or HOME
        if not os.path.isdir(cwd):
            raise tornado.web.HTTPError(400, reason="There is no such folder for the context")
        context = await self.contexts.create(language_of(body), cwd)
        self.finish(json.dumps(context.describe()))


class OneContext(Handler):
    async def delete(self, context_id: str) -> None:
        await self.contexts.remove(self.context(context_id))


class Restart(Handler):
    async def post(self, context_id: str) -> None:
        await self.context(context_id).restart()


async def serve(port: int) -> None:
    """Listens when the Python kernel has run its first line: who can connect finds it warm."""
    contexts = Contexts()
    python = await contexts.default(language_of({}))
    async for _ in python.execute("1", {}):
        pass
    gc.collect()
    gc.freeze()
    routes = [
        (r"/health", Health),
        (r"/execute", Execute),
        (r"/contexts", ContextList),
        (r"/contexts/([^/]+)", OneContext),
        (r"/contexts/([^/]+)/restart", Restart),
    ]
    application = tornado.web.Application([(path, handler, {"contexts": contexts}) for path, handler in routes])
    tornado.httpserver.HTTPServer(application).listen(port, reuse_port=False)
    await asyncio.Event().wait()
