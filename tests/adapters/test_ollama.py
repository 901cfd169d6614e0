"""The real `ollama` client against a local server that speaks, and breaks, Ollama's protocol."""

from __future__ import annotations

from typing import Any

import pytest

from engine import LanguageModelError
from engine.adapters.llm.ollama import HOSTED, LOCAL, OllamaModel, choose_host
from tests.servers.ollama import MODEL, Fault, serving

HELLO = [{"role": "user", "content": "hello"}]
KEY = "key-0123456789abcdef"
SOON = 0.3
"""Seconds after which a test's patience ends: long on loopback, short for whoever waits."""


async def ask(
    url: str, *, model: str = MODEL, key: str = "", seconds: float = 10, **asked: Any
) -> str:
    ollama = OllamaModel(url, model, seconds, key)
    try:
        return await ollama.chat(asked.pop("messages", HELLO), **asked)
    finally:
        await ollama.close()


async def refusal(answer: Fault | str, **asked: Any) -> str:
    async with serving(answer) as server:
        with pytest.raises(LanguageModelError) as caught:
            await ask(server.url, **asked)
    return str(caught.value)


async def test_an_answer_in_many_pieces_arrives_whole() -> None:
    text = "Ünïcode 漢字 and a\nsecond line. " * 30
    async with serving(text) as server:
        assert await ask(server.url) == text
        (asked,) = server.asked
        assert (asked.model, asked.stream, asked.format) == (MODEL, True, None)
        assert asked.messages == HELLO


async def test_the_form_of_the_answer_is_asked_for() -> None:
    schema = {"type": "object", "properties": {"position": {"type": "string"}}}
    async with serving("{}") as server:
        assert await ask(server.url, schema=schema) == "{}"
        assert server.asked[0].format == schema


async def test_lone_surrogates_are_sent_as_question_marks() -> None:
    async with serving("fine") as server:
        await ask(server.url, messages=[{"role": "user", "content": "a\ud800b"}])
        assert server.asked[0].last == "a?b"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault("status", 503, "server busy"), "status 503: 'server busy'"),
        (Fault("status", 429, "slow down"), "status 429: 'slow down'"),
        (Fault("error", text="out of memory"), "an error: 'out of memory'"),
        (Fault("redirect", text="http://127.0.0.1:1/"), "redirects elsewhere (302)"),
        (Fault("malformed"), "does not speak Ollama's protocol"),
        (Fault("shape"), "does not speak Ollama's protocol"),
        (Fault("html"), "does not speak Ollama's protocol"),
        (Fault("cut", text="half an ans"), "broke off in the middle"),
        (Fault("drop"), "connection failed"),
        (Fault("length", text="half an ans"), "length limit"),
        (Fault("endless"), "more than 1000000 characters"),
        ("  \n", "answered with nothing"),
    ],
    ids=lambda value: value.kind + str(value.status) if isinstance(value, Fault) else None,
)
async def test_what_goes_wrong_is_said(fault: Fault | str, words: str) -> None:
    text = await refusal(fault)
    assert words in text
    assert text.startswith(f"{MODEL} at http://127.0.0.1:")


@pytest.mark.parametrize("fault", [Fault("hang"), Fault("drip", text="abc", seconds=SOON / 10)])
async def test_a_server_that_hangs_or_drips_is_cut_off(fault: Fault) -> None:
    assert f"did not finish its answer within {SOON:g} s" in await refusal(fault, seconds=SOON)


async def test_a_model_that_is_not_there() -> None:
    text = await refusal("hello", model="other")
    assert "other at " in text and "`ollama pull other`" in text


async def test_no_ollama_at_all() -> None:
    async with serving("hello") as server:
        url = server.url
    with pytest.raises(
        LanguageModelError, match=r"no Ollama answers at .*ollama serve.*OLLAMA_HOST"
    ):
        await ask(url)


async def test_a_refused_key_is_explained_and_never_shown(monkeypatch: Any) -> None:
    monkeypatch.delenv("OLLAMA_API_KEY", raising=False)
    refused = Fault("status", 401, f"unauthorized: Bearer {KEY}")
    assert "set OLLAMA_API_KEY" in await refusal(refused)
    text = await refusal(refused, key=KEY)
    assert "check OLLAMA_API_KEY" in text and KEY not in text
    text = await refusal(Fault("status", 500, f"you sent {KEY}"), key=KEY)
    assert "you sent ***" in text and KEY not in text
    text = await refusal(Fault("status", 500, "Authorization: Bearer another0123456789"))
    assert "another" not in text


async def test_the_key_goes_to_this_machine_or_over_https_alone(monkeypatch: Any) -> None:
    # The client would take it from the environment for every host.
    monkeypatch.setenv("OLLAMA_API_KEY", KEY)
    async with serving("fine") as server:
        await ask(server.url, key=KEY)
        assert server.asked[-1].authorization == f"Bearer {KEY}"
        # The resolver takes this for our own address, an address parser does not.
        await ask(server.url.replace("127.0.0.1", "127.1"), key=KEY)
        assert server.asked[-1].authorization is None
        server.answer = lambda _: Fault("status", 401, "who are you")
        with pytest.raises(LanguageModelError, match="was not sent because the host is not https"):
            await ask(server.url.replace("127.0.0.1", "127.1"), key=KEY)


async def test_proxies_of_the_environment_are_not_used(monkeypatch: Any) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")
    async with serving("fine") as server:
        assert await ask(server.url) == "fine"


def test_a_key_that_cannot_be_sent() -> None:
    for key in ("schlüssel-0123456789", "two\nlines"):
        with pytest.raises(LanguageModelError, match="OLLAMA_API_KEY holds characters"):
            OllamaModel(LOCAL, MODEL, 1, key)


@pytest.mark.parametrize(
    ("configured", "environment", "host"),
    [
        ("", {}, LOCAL),
        ("", {"OLLAMA_API_KEY": KEY}, HOSTED),
        ("", {"OLLAMA_HOST": "10.0.0.5", "OLLAMA_API_KEY": KEY}, "http://10.0.0.5:11434"),
        ("", {"OLLAMA_HOST": "gpu:8080"}, "http://gpu:8080"),
        ("", {"OLLAMA_HOST": "[::1]"}, "http://[::1]:11434"),
        ("https://models.example/path", {"OLLAMA_HOST": "gpu"}, "https://models.example/path"),
    ],
)
def test_which_host_is_asked(configured: str, environment: dict[str, str], host: str) -> None:
    assert choose_host(configured, environment) == host


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("http://user:secret@host", "holds a user name or password"),
        ("ftp://host", "is no address"),
        ("http://", "is no address"),
        ("http://host:port", "is no address"),
    ],
)
def test_hosts_that_are_refused(host: str, words: str) -> None:
    with pytest.raises(LanguageModelError, match=words) as caught:
        choose_host(host, {})
    assert "secret" not in str(caught.value)
