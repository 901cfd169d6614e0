"""An Ollama on loopback: as much of its HTTP protocol as its client uses, and what can go wrong.

An answer function decides what the model says; it may answer with a `Fault` instead.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from aiohttp import web

MODEL = "local-model"
CHUNK = 16

Kind: TypeAlias = Literal[
    "status",  # an HTTP status with an error text
    "redirect",  # another address, in `text`
    "error",  # an error in the middle of the stream
    "hang",  # no answer, ever
    "drip",  # one character of `text` every `seconds`, without end
    "malformed",  # a line that is no JSON
    "shape",  # JSON of another shape
    "cut",  # the stream ends before it is done
    "drop",  # the connection breaks in the middle
    "html",  # a web page with status 200
    "length",  # the model reached its length limit
    "endless",  # more text than anybody wants
]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong with one answer."""

    kind: Kind
    status: int = 500
    text: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Asked:
    """One request to ``/api/chat``."""

    model: str
    messages: list[dict[str, Any]]
    format: Any
    stream: bool
    authorization: str | None
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def last(self) -> str:
        """The newest message."""
        return self.messages[-1]["content"]


Answer: TypeAlias = Callable[[Asked], str | Fault]


class OllamaServer:
    """The server; a fresh one listens on a free port.

    Attributes:
        answer: what the model says to a request.
        models: names it has; without any it never says which.
        url: such as ``http://127.0.0.1:40123``.
        asked: requests so far, the newest last.
    """

    def __init__(self, answer: Answer, models: tuple[str, ...] = (MODEL,)) -> None:
        self.answer = answer
        self.models = models
        self.url = ""
        self.asked: list[Asked] = []
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen on loopback."""
        app = web.Application()
        app.add_routes([web.post("/api/chat", self._chat), web.get("/api/tags", self._tags)])
        self._runner = web.AppRunner(
            app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def close(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _tags(self, request: web.Request) -> web.Response:
        if not self.models:
            await asyncio.Event().wait()  # a server that takes a request and never answers
        return web.json_response({"models": [{"model": name} for name in self.models]})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        known = {name: body.pop(name, None) for name in ("model", "messages", "format", "stream")}
        asked = Asked(
            known["model"], known["messages"], known["format"], known["stream"] is not False,
            request.headers.get("Authorization"), body,
        )  # fmt: skip
        self.asked.append(asked)
        if asked.model not in self.models:
            return _error(404, f"model '{asked.model}' not found")
        said = self.answer(asked)
        if isinstance(said, Fault):
            return await self._fail(request, asked, said)
        if not asked.stream:
            return web.json_response(_part(asked.model, said, done=True))
        return await self._stream(request, asked.model, said)

    async def _stream(
        self, request: web.Request, model: str, said: str, *, reason: str = "stop", end: bool = True
    ) -> web.StreamResponse:
        response = await _ndjson(request)
        for at in range(0, len(said), CHUNK):
            await _send(response, _part(model, said[at : at + CHUNK]))
        if end:
            await _send(response, _part(model, "", done=True, reason=reason))
        return response

    async def _fail(self, request: web.Request, asked: Asked, fault: Fault) -> web.StreamResponse:
        match fault.kind:
            case "status":
                return _error(fault.status, fault.text)
            case "redirect":
                return web.Response(status=302, headers={"Location": fault.text})
            case "html":
                return web.Response(
                    text="<!DOCTYPE html><html>Log in</html>", content_type="text/html"
                )
            case "cut":
                return await self._stream(request, asked.model, fault.text, end=False)
            case "length":
                return await self._stream(request, asked.model, fault.text, reason="length")
            case "hang":
                await asyncio.Event().wait()
        response = await _ndjson(request)
        match fault.kind:
            case "error":
                await _send(response, _part(asked.model, "so far"))
                await _send(response, {"error": fault.text})
            case "malformed":
                await response.write(b"{not json}\n")
            case "shape":
                await _send(response, ["a", "list"])
            case "drop":
                await _send(response, _part(asked.model, "so far"))
                assert request.transport is not None
                request.transport.abort()
            case "endless":
                while True:
                    await _send(response, _part(asked.model, "x" * 50_000))
            case "drip":
                for at in range(1_000_000):
                    await _send(response, _part(asked.model, fault.text[at % len(fault.text)]))
                    await asyncio.sleep(fault.seconds)
        return response


@asynccontextmanager
async def serving(
    answer: Answer | str | Fault, models: tuple[str, ...] = (MODEL,)
) -> AsyncIterator[OllamaServer]:
    """A server that is listening inside the block; a text or fault is always answered."""
    server = OllamaServer(answer if callable(answer) else lambda _: answer, models)
    await server.start()
    try:
        yield server
    finally:
        await server.close()


def trader(asked: Asked) -> str:
    """Answers questions for signals with a long of +-1 % at the newest close, others in words.

    It has to read the conversation: the newest close is the fifth field of the last row of the
    message before the question.
    """
    if asked.format is None:
        return "Go long after three rising hours; take one percent, risk one percent."
    rows = [message["content"] for message in asked.messages if message["role"] == "user"][-2]
    close = float(rows.splitlines()[-1].split(", ")[4])
    return json.dumps(
        {
            "position": "long",
            "note": "three rising hours",
            "price_open": close,
            "price_take_profit": close * 1.01,
            "price_stop_loss": close * 0.99,
            "minute_estimated_time": 60,
        }
    )


def _part(model: str, content: str, *, done: bool = False, reason: str = "stop") -> dict[str, Any]:
    part = {
        "model": model,
        "created_at": "2024-01-01T00:00:00.000000Z",
        "message": {"role": "assistant", "content": content},
        "done": done,
    }
    return {**part, "done_reason": reason, "eval_count": 1} if done else part


def _error(status: int, text: str) -> web.Response:
    return web.json_response({"error": text}, status=status)


async def _ndjson(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)
    return response


async def _send(response: web.StreamResponse, part: Any) -> None:
    await response.write(json.dumps(part).encode() + b"\n")


@contextmanager
def in_background(answer: Answer | str | Fault) -> Iterator[OllamaServer]:
    """A server on a loop and thread of its own, for tests that wait for other processes."""
    server = OllamaServer(answer if callable(answer) else lambda _: answer)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="ollama server", daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(server.start(), loop).result(30)
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(server.close(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()
