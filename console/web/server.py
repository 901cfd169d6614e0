"""Pages and websockets of the console in browsers.

Every request has to name this machine (`Host`) and carry the token, and a websocket has to come
from one of our own pages (`Origin`), because any page that a browser shows may talk to loopback.
textual-serve provides what runs in the browser: the terminal, its style and its font. Its page and
its server are replaced: the page loads a font from elsewhere, the server asks nobody for anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import html
import json
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from string import Template
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp import WSCloseCode, WSMsgType, web

from console.web.viewer import Patience, Viewer, open_viewer

_PAGES: Final = Path(__file__).parent
_SECURITY: Final = {
    # Everything from here and nothing from elsewhere; xterm.js writes style elements.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; img-src 'self' data:; "
    "style-src 'self' 'unsafe-inline'; font-src 'self'; connect-src 'self' ws://{host} "
    "wss://{host}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

ESCAPE: Final = "\x1b[27u"
"""The escape key in a form that is not the beginning of another key's."""

VIEW_FAILED: Final = 4000
"""Code of a websocket that is closed because its viewer failed; the reason is in words."""

_LONGEST_REASON: Final = 120
"""Bytes of a reason: a frame that closes a websocket has room for 123."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Served:
    """What is served, to whom.

    Attributes:
        command: starts a viewer.
        state: the state file, as the page names it.
        statics: folder of the browser's terminal.
        token: what a request has to know.
        names: host names by which browsers may reach the server; with ``any_address`` also every
            numeric address: a name is what a hostile page could have pointed here, a number is not.
        sessions: how many views at a time.
    """

    command: Sequence[str]
    state: str
    statics: Path
    token: str
    names: Collection[str]
    any_address: bool = False
    sessions: int = 4
    patience: Patience = field(default_factory=Patience)


class ConsoleServer:
    """Answers browsers.

    Args:
        served: what, and to whom.
        say: told what happens.
    """

    def __init__(self, served: Served, say: Callable[[str], None]) -> None:
        self._served = served
        self._say = say
        self._slots = asyncio.Semaphore(served.sessions)
        self._count = 0
        self._open: set[web.WebSocketResponse] = set()

    def application(self) -> web.Application:
        """The routes, behind the checks."""
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/", self._page)
        app.router.add_get("/ws", self._socket)
        app.router.add_get("/views", self._views)
        app.router.add_get("/page/{name}", self._own_file)
        app.router.add_static("/static", self._served.statics)
        app.on_response_prepare.append(self._protect)
        app.on_shutdown.append(self._close_all)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        name = _host_name(request.host)
        if not (name in self._served.names or (self._served.any_address and _is_address(name))):
            raise web.HTTPForbidden(text=f"signaldeck is not served under the name {name!r}\n")
        given = request.query.get("token") or request.cookies.get(_cookie(request)) or ""
        if not hmac.compare_digest(given.encode(), self._served.token.encode()):
            raise web.HTTPForbidden(
                text=f"{'wrong' if given else 'no'} token: open the address that signaldeck serve "
                "printed when it was started\n"
            )
        return await handler(request)

    async def _protect(self, request: web.Request, response: web.StreamResponse) -> None:
        for name, value in _SECURITY.items():
            response.headers[name] = value.replace("{host}", request.host)
        response.headers.setdefault("Cache-Control", "no-store")

    async def _page(self, request: web.Request) -> web.Response:
        size = request.query.get("fontsize", "")
        text = Template((_PAGES / "page.html").read_text(encoding="utf-8")).substitute(
            state=html.escape(self._served.state),
            font_size=int(size)
            if size.isascii() and size.isdigit() and 6 <= int(size) <= 72
            else 16,
        )
        response = web.Response(text=text, content_type="text/html")
        response.set_cookie(
            _cookie(request), self._served.token, httponly=True, samesite="Strict", path="/"
        )
        return response

    async def _own_file(self, request: web.Request) -> web.FileResponse:
        name = request.match_info["name"]
        if name not in ("page.css", "page.js"):
            raise web.HTTPNotFound
        return web.FileResponse(_PAGES / name)

    async def _views(self, request: web.Request) -> web.Response:
        """How many views are open: a page cannot see why its websocket was refused."""
        return web.json_response({"open": len(self._open), "most": self._served.sessions})

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        origin = request.headers.get("Origin", "")
        if urlsplit(origin).netloc != request.host:
            raise web.HTTPForbidden(text=f"a page of {origin or 'nobody'} may not watch\n")
        try:
            async with asyncio.timeout(self._served.patience.slot):
                await self._slots.acquire()
        except TimeoutError:
            limit = self._served.sessions
            self._say(f"refused a view: {limit} are open, and --sessions allows no more")
            raise web.HTTPServiceUnavailable(text=f"{limit} views are open already\n") from None
        try:
            return await self._session(request)
        finally:
            self._slots.release()

    async def _session(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(heartbeat=15.0, max_msg_size=65536)
        await socket.prepare(request)
        self._count += 1
        number, who = self._count, request.remote
        width = _between(request.query.get("width"), 20, 80, 500)
        height = _between(request.query.get("height"), 5, 24, 200)
        self._open.add(socket)
        problem = ""
        try:
            viewer = await open_viewer(self._served.command, width, height, self._served.patience)
        except OSError as error:
            problem = f"it cannot start: {error}"
            self._say(f"view {number}: {problem}")
        else:
            self._say(f"view {number} opened from {who} (process {viewer.pid})")
            problem = await _connect(viewer, socket)
            self._say(f"view {number} closed{': ' if problem else ''}{problem}")
        finally:
            self._open.discard(socket)
            code = VIEW_FAILED if problem else WSCloseCode.OK
            await socket.close(code=code, message=_reason(problem))
        return socket

    async def _close_all(self, app: web.Application) -> None:
        for socket in tuple(self._open):
            await socket.close(code=WSCloseCode.GOING_AWAY, message=b"signaldeck serve has ended")


async def _connect(viewer: Viewer, socket: web.WebSocketResponse) -> str:
    """Join the two until one of them leaves; returns what went wrong with the viewer."""
    drawing = asyncio.create_task(viewer.relay(socket.send_bytes))
    typing = asyncio.create_task(_listen(viewer, socket))
    try:
        await asyncio.wait((drawing, typing), return_when=asyncio.FIRST_COMPLETED)
        problem = drawing.result() if drawing.done() and not drawing.exception() else ""
        if problem and not socket.closed:
            with contextlib.suppress(ConnectionError):
                await socket.send_bytes(f"\x1b[2J\x1b[Hsignaldeck: {problem}\r\n".encode())
        return problem
    finally:
        drawing.cancel()
        typing.cancel()
        await asyncio.gather(drawing, typing, return_exceptions=True)
        await asyncio.shield(viewer.end())


async def _listen(viewer: Viewer, socket: web.WebSocketResponse) -> None:
    """Hand on what the browser sends until it leaves; what is not understood is let be."""
    async for message in socket:
        if message.type is not WSMsgType.TEXT:
            continue
        match _parsed(message.data):
            case ["stdin", "\x1b"]:
                # A key is one message here, so this one begins nothing, as it may in a terminal.
                await viewer.type(ESCAPE)
            case ["stdin", str(text)]:
                await viewer.type(text)
            case ["resize", {"width": int(width), "height": int(height)}]:
                await viewer.tell(
                    "resize",
                    width=_between(width, 20, 80, 500),
                    height=_between(height, 5, 24, 200),
                )
            case ["ping", data]:
                await socket.send_json(["pong", data])
            case [("focus" | "blur") as kind, *_]:
                await viewer.tell(kind)
            case _:
                continue


def _reason(problem: str) -> bytes:
    """As much of a text as a closed websocket can carry, never half a character."""
    return problem.encode()[:_LONGEST_REASON].decode(errors="ignore").encode()


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _between(value: str | int | None, least: int, otherwise: int, most: int) -> int:
    try:
        return min(max(int(value or otherwise), least), most)
    except ValueError:
        return otherwise


def _cookie(request: web.Request) -> str:
    """Cookies know no ports, and several servers may run: the name has the port in it."""
    port = urlsplit(f"//{request.host}").port
    return f"signaldeck-{port or 80}"


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
