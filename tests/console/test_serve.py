"""The console in browsers: the installed command, spoken to as a browser does, on loopback."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from http.cookies import SimpleCookie
from pathlib import Path
from time import monotonic
from typing import Any

import pyte
import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, WSServerHandshakeError, web

from console.outcomes import UsageProblem
from console.serve_command import ServeOptions, run_serve
from console.settings import load_project
from console.web.server import VIEW_FAILED, ConsoleServer, Served
from console.web.viewer import Patience
from engine.adapters.store.sqlite import SqliteStore
from engine.domain.changes import MetaSaved
from engine.domain.errors import StateError
from tests.console.cli_bed import COMMAND, Run, environment

TIMEOUT = 60.0
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


async def state_file(path: Path) -> None:
    """What a demo leaves behind that never traded."""
    store = SqliteStore(path)
    await store.open()
    await store.commit([MetaSaved("seed", "1")])
    await store.close()


class Serving:
    """A running ``signaldeck serve``."""

    def __init__(self, process: asyncio.subprocess.Process, address: str) -> None:
        self.process = process
        self.base, self.token = address.strip().split("/?token=")
        self.told = ""

    async def says(self, pattern: str) -> re.Match[str]:
        """Read what it narrates until it has said this."""
        assert self.process.stderr is not None
        while (found := re.search(pattern, self.told)) is None:
            line = await self.process.stderr.readline()
            assert line, f"not said: {pattern}\n{self.told}"
            self.told += line.decode()
        return found


@asynccontextmanager
async def serving(folder: Path, *options: str) -> AsyncIterator[Serving]:
    process = await asyncio.create_subprocess_exec(
        COMMAND, "serve", "--port", "0", *options, cwd=folder, env=environment(folder),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield Serving(process, (await process.stdout.readline()).decode())
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


class Tab:
    """A browser's side of a view: a terminal on a websocket."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self.socket = socket
        self.screen = pyte.Screen(120, 30)
        self._stream = pyte.ByteStream(self.screen)

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.screen.display)

    async def press(self, keys: str) -> None:
        await self.socket.send_json(["stdin", keys])

    async def until(self, shows: str) -> None:
        """Draw what arrives until this is seen."""
        latest = monotonic() + TIMEOUT / 3
        while shows not in self.text:
            try:
                message = await self.socket.receive(latest - monotonic())
            except TimeoutError:
                raise AssertionError(f"not shown: {shows}\n{self.text}") from None
            assert message.type in (WSMsgType.BINARY, WSMsgType.TEXT), f"{message}\n{self.text}"
            if message.type is WSMsgType.BINARY:
                self._stream.feed(message.data)

    async def closed(self) -> tuple[int, str]:
        """Read to the end; the code and the reason that a page is given."""
        while (message := await self.socket.receive()).type is not WSMsgType.CLOSE:
            assert not self.socket.closed
        return message.data, message.extra or ""


async def refusal(client: ClientSession, address: str, **given: Any) -> int:
    """The status with which a websocket is refused."""
    with pytest.raises(WSServerHandshakeError) as refused:
        await client.ws_connect(address, **given)
    return refused.value.status


async def gone(pid: int) -> bool:
    """Wait until a process is no more."""
    while os.path.exists(f"/proc/{pid}"):
        await asyncio.sleep(0.02)
    return True


async def test_tabs_watch_each_for_itself_behind_a_token(tmp_path: Path) -> None:
    await state_file(tmp_path / "state.db")
    async with (
        asyncio.timeout(TIMEOUT), serving(tmp_path) as server, ClientSession() as stranger,
        ClientSession() as client,
    ):  # fmt: skip
        base, token = server.base, server.token
        page, socket = f"{base}/?token={token}", f"{base}/ws?width=120&height=30"

        async with stranger.get(f"{base}/") as answer:
            assert answer.status == 403 and "no token" in await answer.text()
        async with stranger.get(f"{base}/?token=x{token}") as answer:
            assert answer.status == 403 and "wrong token" in await answer.text()
        for behind in ("static/js/textual.js", "views"):
            async with stranger.get(f"{base}/{behind}") as answer:
                assert answer.status == 403
        async with stranger.get(page, headers={"Host": "evil.example"}) as answer:
            assert answer.status == 403 and "evil.example" in await answer.text()
        assert await refusal(stranger, socket, origin=base) == 403
        assert await refusal(stranger, f"{socket}&token={token}") == 403
        for other in ("http://evil.example", f"{base}0", "null"):
            assert await refusal(stranger, f"{socket}&token={token}", origin=other) == 403

        async with client.get(page) as answer:
            assert answer.status == 200
            text, policy = await answer.text(), answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "state.db" in text
        cookie = SimpleCookie(answer.headers["Set-Cookie"])
        (morsel,) = cookie.values()
        assert morsel["httponly"] and morsel["samesite"] == "Strict"
        given = {"Cookie": f"{morsel.key}={morsel.value}"}
        wanted = re.findall(r'(?:src|href)="([^"]*)"', text)
        assert len(wanted) >= 5 and "token" not in text
        for link in (link for link in wanted if not link.startswith("data:")):
            assert link.startswith("/") and not link.startswith("//")
            async with client.get(base + link, headers=given) as answer:
                assert answer.status == 200
                if link.endswith(".css"):
                    assert not re.search(r"url\(\W*(https?:|//)|@import", await answer.text())

        one = Tab(await client.ws_connect(socket, origin=base, headers=given))
        two = Tab(await client.ws_connect(socket, origin=base, headers=given))
        await one.socket.send_json(["focus"])  # A page that has the focus from the beginning.
        await asyncio.gather(one.until("READ-ONLY"), two.until("READ-ONLY"))
        assert "SIMULATED" in one.text
        await one.until("enter Open")
        async with client.get(f"{base}/views", headers=given) as answer:
            assert await answer.json() == {"open": 2, "most": 4}
        await one.press("2")
        await one.until("[Signals]")
        await one.press("\x1b")
        await one.press("1")
        await one.until("[Deck]")
        await two.press("8")
        await two.until("[Log]")
        await two.until("the log is not in state.db")
        await two.press("e")
        await two.until("export there")
        assert "[Signals]" not in two.text
        pids = [int((await server.says(rf"view {n} opened .*process (\d+)"))[1]) for n in (1, 2)]
        assert all(os.path.exists(f"/proc/{pid}") for pid in pids)
        await one.socket.close()
        assert await gone(pids[0])
        await server.says("view 1 closed\n")
        await two.press("1")
        await two.until("[Deck]")

        server.process.send_signal(signal.SIGINT)
        assert await two.closed() == (1001, "signaldeck serve has ended")
        assert await gone(pids[1]) and await server.process.wait() == 0
        assert "Traceback" not in server.told


class Chromium:
    """A headless browser, driven through its DevTools."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self._page = ""
        self.told: list[dict[str, Any]] = []

    async def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Give a command and read until it is answered; events are kept in ``told``."""
        self._number += 1
        where = {"sessionId": self._page} if self._page else {}
        await self._socket.send_json(
            {"id": self._number, "method": method, "params": parameters, **where}
        )
        while (message := await self._socket.receive_json(timeout=TIMEOUT)).get(
            "id"
        ) != self._number:
            self.told.append(message)
        assert "error" not in message, message
        return message["result"]

    async def open(self, address: str) -> None:
        """Open a page and listen to what it loads."""
        target = (await self.ask("Target.createTarget", url="about:blank"))["targetId"]
        attached = await self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._page = attached["sessionId"]
        for domain in ("Network", "Runtime", "Log", "Page"):
            await self.ask(f"{domain}.enable")
        await self.ask("Page.navigate", url=address)

    async def value(self, expression: str) -> Any:
        """What an expression comes to on the page."""
        answer = await self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        return answer["result"].get("value")

    def events(self, method: str) -> list[dict[str, Any]]:
        """What was told of one kind."""
        return [one["params"] for one in self.told if one.get("method") == method]

    async def press(self, key: str, text: str, code: int = 0) -> None:
        """Press a key on whatever has the focus."""
        given = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        await self.ask("Input.dispatchKeyEvent", type="keyDown", text=text, **given)
        await self.ask("Input.dispatchKeyEvent", type="keyUp", **given)

    async def until(self, words: str) -> None:
        """Wait until the page says this below the console."""
        shown = "document.getElementById('ended').innerText"
        while words not in str(await self.value(shown)):
            await asyncio.sleep(0.05)

    async def drawn(self, words: str) -> None:
        """Wait until the console's process has sent this to be drawn."""
        while words not in "".join(
            base64.b64decode(one["response"]["payloadData"]).decode(errors="replace")
            for one in self.events("Network.webSocketFrameReceived")
            if one["response"]["opcode"] == 2
        ):
            await self.value("0")
            await asyncio.sleep(0.05)


@asynccontextmanager
async def chromium(folder: Path, client: ClientSession) -> AsyncIterator[Chromium]:
    assert CHROMIUM is not None
    options = ("--headless=new", "--no-sandbox", "--no-first-run", "--enable-unsafe-swiftshader",
               "--remote-debugging-port=0", f"--user-data-dir={folder / 'profile'}")  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        CHROMIUM, *options, "about:blank", env={**os.environ, "HOME": str(folder)},
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        port = folder / "profile" / "DevToolsActivePort"
        while not (port.exists() and len(port.read_text().split()) == 2):
            assert process.returncode is None, "Chromium has ended"
            await asyncio.sleep(0.05)
        number, path = port.read_text().split()
        address = f"http://127.0.0.1:{number}{path}"
        async with client.ws_connect(address, max_msg_size=0) as socket:
            yield Chromium(socket)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
async def test_a_browser_draws_the_console_and_loads_nothing_from_elsewhere(
    tmp_path: Path,
) -> None:
    await state_file(tmp_path / "state.db")
    async with (
        asyncio.timeout(TIMEOUT), serving(tmp_path) as server, ClientSession() as client,
        chromium(tmp_path, client) as browser,
    ):  # fmt: skip
        await browser.open(f"{server.base}/?token={server.token}")
        while "-first-byte" not in str(await browser.value("document.body.className")):
            assert not browser.events("Runtime.exceptionThrown")
            await asyncio.sleep(0.05)
        assert await browser.value("location.search") == ""
        assert await browser.value("document.cookie") == ""
        loaded = [one["request"]["url"] for one in browser.events("Network.requestWillBeSent")]
        sockets = [one["url"] for one in browser.events("Network.webSocketCreated")]
        assert len(loaded) >= 5 and len(sockets) == 1
        own = (f"{server.base}/", server.base.replace("http", "ws") + "/", "data:")
        assert [url for url in (*loaded, *sockets) if not url.startswith(own)] == []
        errors = [one["entry"] for one in browser.events("Log.entryAdded")]
        assert [one for one in errors if one["level"] == "error"] == []

        opening = "getComputedStyle(document.getElementById('opening')).display"
        assert await browser.value(opening) == "none"
        await browser.press("2", "2")
        await browser.drawn("[Signals]")
        viewers = [int((await server.says(r"view 1 opened .*process (\d+)"))[1])]
        os.kill(viewers[0], signal.SIGKILL)
        await browser.until("has ended: the viewer was ended from outside (SIGKILL). What it shows")
        browser.told.clear()
        await browser.press("Enter", "\r", 13)
        viewers.append(int((await server.says(r"view 2 opened .*process (\d+)"))[1]))
        await browser.drawn("enter Open")
        server.process.send_signal(signal.SIGTERM)
        await browser.until("signaldeck serve has ended. What it shows goes on unchanged. Trying")
        await browser.until("signaldeck serve cannot be reached.")
        assert await gone(viewers[1])


@asynccontextmanager
async def served(
    command: str | Sequence[str], say: Callable[[str], None], *, silence: float = 0.2,
    leave: float = 0.2, **given: Any,
) -> AsyncIterator[str]:  # fmt: skip
    """A server whose viewers run a command or a script; answers the address of its websocket."""
    patience = Patience(start=20.0, silence=silence, leave=leave, slot=0.1)
    run = (sys.executable, "-c", command) if isinstance(command, str) else command
    what = Served(run, "s", Path(), "t", ["127.0.0.1"], **given, patience=patience)
    runner = web.AppRunner(ConsoleServer(what, say).application(), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


HANGS = (
    "import os, signal, sys, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "os.write(1, b'__GANGLION__\\n' + b'D\\0\\0\\0\\2hi')\n"
    "time.sleep(600)\n"
)


LEAVES = (
    "import os\n"
    """os.write(1, b'__GANGLION__\\n' + b'M\\0\\0\\0\\x10{"type": "exit"}')\n"""
)


async def test_a_viewer_that_hangs_or_fails_is_ended_and_the_browser_told() -> None:
    said: list[str] = []
    async with asyncio.timeout(TIMEOUT), ClientSession() as client:
        async with served(HANGS, said.append, sessions=1) as base:
            tab = Tab(await client.ws_connect(f"{base}/ws?token=t", origin=base))
            await tab.until("hi")
            assert await refusal(client, f"{base}/ws?token=t", origin=base) == 503
            problem = "the viewer gave no sign of life for 0.2 s and was ended"
            await tab.until(problem)
            assert await tab.closed() == (VIEW_FAILED, problem)
        opened = re.search(r"process (\d+)", said[0])
        assert opened and await gone(int(opened[1]))
        assert any("1 are open, and --sessions allows no more" in text for text in said)
        async with served("raise SystemExit('no such thing')", said.append) as base:
            tab = Tab(await client.ws_connect(f"{base}/ws?token=t&width=x", origin=base))
            await tab.socket.send_str(json.dumps({"not": "understood"}))
            await tab.until("signaldeck: no such thing")
            assert await tab.closed() == (VIEW_FAILED, "no such thing")
            assert said[-1].endswith("closed: no such thing")
        for script, told in (
            ("import os; os.kill(os.getpid(), 9)",
             (VIEW_FAILED, "the viewer was ended from outside (SIGKILL)")),
            ("raise SystemExit('signaldeck: x' + '\u20ac' * 99)",
             (VIEW_FAILED, "x" + "\u20ac" * 39)),
            (LEAVES, (1000, "")),
        ):  # fmt: skip
            async with served(script, said.append) as base:
                tab = Tab(await client.ws_connect(f"{base}/ws?token=t", origin=base))
                assert await tab.closed() == told


async def test_a_screen_that_fails_ends_its_view_with_the_reason_and_the_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    await state_file(tmp_path / "state.db")
    script = Path(__file__).with_name("failing_console.py")
    command = (sys.executable, str(script), str(tmp_path / "state.db"), "read-only")
    said: list[str] = []
    async with (
        asyncio.timeout(TIMEOUT), ClientSession() as client,
        served(command, said.append, silence=20.0, leave=20.0) as base,
    ):  # fmt: skip
        tab = Tab(await client.ws_connect(f"{base}/ws?token=t", origin=base))
        await tab.until("READ-ONLY")
        await tab.press("8")
        code, reason = await tab.closed()
    assert code == VIEW_FAILED
    assert reason.startswith("the interface crashed: ZeroDivisionError: nobody has divided by")
    assert re.search(r"; reference [0-9a-f]{6} in ", said[-1])


async def test_what_cannot_be_served_is_said(tmp_path: Path, run: Run) -> None:
    state = tmp_path / "state.db"
    project = load_project(state=str(state))
    with pytest.raises(StateError, match="does not exist"):
        run_serve(project, ServeOptions())
    with pytest.raises(UsageProblem, match="--state FILE"):
        run_serve(load_project(state=":memory:"), ServeOptions())
    await state_file(state)
    taken = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    for options, words in (
        (ServeOptions(port), f"port {port} of 127.0.0.1 is taken"),
        (ServeOptions(0, "192.0.2.1"), "192.0.2.1 is no address of this machine"),
    ):
        with pytest.raises(UsageProblem, match=words):
            await asyncio.to_thread(run_serve, project, options)
    taken.close()
    assert "read-only console in browsers" in run("serve", "--help").stdout
