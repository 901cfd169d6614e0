"""Asks a model through the `ollama` client, within a time limit and without leaking the key.

The client has no time limit of its own, reads proxies from the environment, sends the key of the
environment to whatever host it is pointed at, and does not check what comes back. Each of these is
made good here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import aclosing
from ipaddress import ip_address
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import httpx
from ollama import AsyncClient, ResponseError

from engine.domain.conversation import Message, redacted, shown
from engine.domain.errors import LanguageModelError

HOSTED: Final = "https://ollama.com"
"""The hosted service, which wants a key."""

LOCAL: Final = "http://127.0.0.1:11434"
"""Where Ollama listens when it runs on this machine."""

DEFAULT_MODEL: Final = "deepseek-v3.1:671b"
"""What is asked where nothing else is configured; the hosted service has it."""

MOST_CHARACTERS: Final = 1_000_000
"""Characters of an answer that are waited for."""

_CONNECT_SECONDS: Final = 10.0
_T = TypeVar("_T")


def choose_host(configured: str, environment: Mapping[str, str]) -> str:
    """Which host is asked: the configured one, ``OLLAMA_HOST``, the hosted one with a key, ours.

    Raises:
        LanguageModelError: the address holds a user name or a password, or is none.
    """
    host = configured or environment.get("OLLAMA_HOST", "").strip()
    if not host:
        return HOSTED if environment.get("OLLAMA_API_KEY") else LOCAL
    url = host if "://" in host else f"http://{host}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise LanguageModelError(f"the Ollama host {shown(host)} is no address: {error}") from None
    if "@" in parts.netloc:
        raise LanguageModelError(
            "the Ollama host holds a user name or password: a key belongs in the environment "
            "variable OLLAMA_API_KEY"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise LanguageModelError(
            f"the Ollama host {shown(host)} is no address: write http://127.0.0.1:11434"
        )
    if "://" not in host and port is None:
        return f"{url.rstrip('/')}:11434" if not parts.path.strip("/") else url
    return url


class OllamaModel:
    """One model of one host.

    Args:
        host: as `choose_host` gives it.
        model: the model's name there.
        timeout_seconds: limit of one answer, from the question to the last character.
        key: sent as a bearer token, over https or to this machine only.

    Raises:
        LanguageModelError: the key holds characters that cannot be sent.
    """

    def __init__(self, host: str, model: str, timeout_seconds: float, key: str = "") -> None:
        if not (key.isascii() and key.isprintable()):
            raise LanguageModelError("OLLAMA_API_KEY holds characters that no key has: check it")
        self._host = host
        self._model = model
        self._timeout = timeout_seconds
        self._key = key
        self._sends_key = bool(key) and _is_safe(host)
        self._client = AsyncClient(
            host,
            # The whole answer is limited by `asyncio.timeout`; this one is for reads alone.
            timeout=httpx.Timeout(timeout_seconds, connect=min(_CONNECT_SECONDS, timeout_seconds)),
            follow_redirects=False,
            trust_env=False,
            headers={"authorization": f"Bearer {key}"} if self._sends_key else None,
            event_hooks={"request": [self._check_headers]},
        )

    @property
    def name(self) -> str:
        """Model and host."""
        return f"{self._model} at {self._host}"

    async def chat(
        self, messages: Sequence[Message], schema: Mapping[str, Any] | None = None
    ) -> str:
        """The model's answer to a conversation; see `engine.domain.ports.LanguageModel`."""
        return await self._in_words(self._chat(messages, schema))

    async def models(self) -> tuple[str, ...]:
        """Names of the models that the host has.

        Raises:
            LanguageModelError: the host cannot be asked, as in `chat`.
        """
        return await self._in_words(self._listed())

    async def _listed(self) -> tuple[str, ...]:
        found = await self._client.list()
        return tuple(item.model for item in found.models if item.model)

    async def _in_words(self, work: Awaitable[_T]) -> _T:
        """Wait within the time limit; whatever goes wrong becomes a sentence for the operator."""
        deadline = asyncio.timeout(self._timeout)
        try:
            async with deadline:
                return await work
        except TimeoutError:
            raise self._late() from None
        except httpx.TimeoutException as error:
            if isinstance(error, httpx.ConnectTimeout):
                raise self._unreachable() from None
            raise self._late() from None
        except (ConnectionError, httpx.ConnectError):
            raise self._unreachable() from None
        except ResponseError as error:
            raise LanguageModelError(self._refusal(error)) from None
        except httpx.HTTPError as error:
            text = self._clean(str(error) or type(error).__name__)
            raise LanguageModelError(f"{self.name}: the connection failed: {text}") from None
        except (ValueError, TypeError, AttributeError) as error:
            # The client does not expect lines that are no JSON, or JSON of another shape.
            raise LanguageModelError(
                f"{self.name} does not speak Ollama's protocol ({type(error).__name__}): check "
                "the host in [ollama] of signaldeck.toml, or OLLAMA_HOST"
            ) from None

    async def close(self) -> None:
        """Release connections."""
        await self._client.close()

    async def _chat(self, messages: Sequence[Message], schema: Mapping[str, Any] | None) -> str:
        # Streamed, so that an answer without end is noticed, and one that breaks off as well.
        parts: Any = await self._client.chat(  # pyright: ignore[reportUnknownMemberType]
            self._model,
            [{**message, "content": _sendable(message["content"])} for message in messages],
            stream=True,
            format=None if schema is None else dict(schema),
        )
        text: list[str] = []
        size, ended, reason = 0, False, ""
        async with aclosing(parts):
            async for part in parts:
                content = part.message.content or ""
                text.append(content)
                size += len(content)
                ended, reason = bool(part.done), part.done_reason or ""
                if size > MOST_CHARACTERS:
                    raise LanguageModelError(
                        f"{self.name} answered with more than {MOST_CHARACTERS} characters: it was "
                        "cut off"
                    )
        answer = "".join(text)
        if not ended:
            raise LanguageModelError(f"{self.name} broke off in the middle of its answer")
        if reason == "length":
            raise LanguageModelError(
                f"{self.name} reached its length limit in the middle of its answer: give it a "
                "shorter conversation, or a model with a larger context"
            )
        if not answer.strip():
            raise LanguageModelError(f"{self.name} answered with nothing")
        return answer

    def _refusal(self, error: ResponseError) -> str:
        status = error.status_code
        said = shown(self._clean(error.error))
        if status == 404:
            return (
                f"{self.name} is not there ({said}): fetch it with `ollama pull {self._model}`, or "
                "name another in [ollama] of signaldeck.toml, or OLLAMA_MODEL"
            )
        if status in (401, 403):
            if self._key and not self._sends_key:
                hint = "OLLAMA_API_KEY was not sent because the host is not https"
            else:
                hint = "check OLLAMA_API_KEY" if self._key else "set OLLAMA_API_KEY"
            return f"{self.name} refused the request ({status}): {hint}"
        if 300 <= status < 400:
            return f"{self.name} redirects elsewhere ({status}): use the address it leads to"
        kind = f"status {status}" if status > 0 else "an error"
        return f"{self.name} answered with {kind}: {said}"

    def _late(self) -> LanguageModelError:
        return LanguageModelError(
            f"{self.name} did not finish its answer within {self._timeout:g} s: raise "
            "timeout_seconds in [ollama] of signaldeck.toml, or choose a faster model"
        )

    def _unreachable(self) -> LanguageModelError:
        return LanguageModelError(
            f"no Ollama answers at {self._host}: start it (`ollama serve`), or set host in "
            "[ollama] of signaldeck.toml, or OLLAMA_HOST"
        )

    def _clean(self, text: str) -> str:
        return redacted(text, (self._key,) if self._key else ())

    async def _check_headers(self, request: httpx.Request) -> None:
        # The client takes the key from the environment by itself, for every host.
        if not self._sends_key:
            request.headers.pop("authorization", None)


def _is_safe(host: str) -> bool:
    parts = urlsplit(host)
    if parts.scheme == "https" or parts.hostname == "localhost":
        return True
    try:
        address = ip_address(parts.hostname or "")
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _sendable(text: str) -> str:
    """Lone surrogates cannot be sent; the client would fail on them."""
    return text.encode("utf-8", "replace").decode("utf-8")
