"""What is said to a language model and what it may answer.

A model's answer is foreign text until it has been checked here: the client asks for structured
output, but nothing makes a model keep to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine.domain.errors import LanguageModelError
from engine.domain.signals import Signal

Message: TypeAlias = dict[str, str]
"""``{"role": "system" | "user" | "assistant", "content": text}``."""

ROLES: Final = ("system", "user", "assistant")
SHOWN: Final = 200
"""Characters of an answer that an error message quotes."""

_Price: TypeAlias = Annotated[float, Field(allow_inf_nan=False)]
_FENCE: Final = re.compile(r"\A\s*```(?:json)?\s*\n(.*)\n\s*```\s*\Z", re.S)
_MASK: Final = "***"
_BEARER: Final = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}")


class SignalAnswer(BaseModel):
    """A model's answer to the question for a signal; ``wait`` makes the other fields moot."""

    model_config = ConfigDict(frozen=True)

    position: Literal["wait", "long", "short"] = Field(
        description="wait when the picture is unclear"
    )
    note: str = Field(description="why, in one or two sentences")
    price_open: _Price = Field(description="price at which to enter")
    price_take_profit: _Price = Field(description="price at which to take the profit")
    price_stop_loss: _Price = Field(description="price at which to stop the loss")
    minute_estimated_time: int = Field(
        description="minutes until the position expires, at most 360"
    )


class _Waiting(BaseModel):
    position: Literal["wait"]


SIGNAL_JSON_SCHEMA: Final[Mapping[str, Any]] = SignalAnswer.model_json_schema()
"""The structured output asked for; every field is required."""


def signal_of(answer: str, signal_id: str) -> Signal | None:
    """The signal a model's answer describes; None when it says ``wait``.

    The answer may stand in a Markdown code fence. Prices are checked by the engine's signal
    validation, not here.

    Args:
        answer: what the model said.
        signal_id: the id the signal gets.

    Raises:
        LanguageModelError: the answer is not what was asked for; it is quoted.
    """
    fenced = _FENCE.match(answer)
    text = fenced[1] if fenced else answer
    try:
        # A model that waits may leave out, or fill with nonsense, what does not matter then.
        _Waiting.model_validate_json(text)
    except ValidationError:
        pass
    else:
        return None
    try:
        found = SignalAnswer.model_validate_json(text)
    except ValidationError as error:
        problems = "; ".join(_describe(item) for item in error.errors())
        raise LanguageModelError(
            f"the model's answer is not a signal: {problems}. It said: {shown(answer)}"
        ) from None
    return Signal(
        position=found.position,
        price_take_profit=found.price_take_profit,
        price_stop_loss=found.price_stop_loss,
        minute_estimated_time=found.minute_estimated_time,
        price_open=found.price_open,
        note=found.note,
        id=signal_id,
    )


def messages_of(given: Iterable[Mapping[str, Any]]) -> list[Message]:
    """A checked copy of a conversation.

    Raises:
        LanguageModelError: naming the message that is none.
    """
    copied: list[Message] = []
    for number, message in enumerate(given, start=1):
        role, content = message.get("role"), message.get("content")
        if role not in ROLES or not isinstance(content, str):
            raise LanguageModelError(
                f"message {number} is {shown(repr(dict(message)))}: it needs a role (one of "
                f"{', '.join(ROLES)}) and a content, both texts"
            )
        copied.append({"role": str(role), "content": content})
    if not copied:
        raise LanguageModelError("a conversation needs at least one message")
    return copied


def shown(text: str) -> str:
    """The beginning of a foreign text as one quoted line, for an error message."""
    line = " ".join(text.split())
    return repr(line if len(line) <= SHOWN else line[:SHOWN] + "...")


def redacted(text: str, secrets: Sequence[str]) -> str:
    """``text`` without secrets: the given ones, and whatever looks like an authorization header."""
    for secret in secrets:
        text = text.replace(secret, _MASK)
    return _BEARER.sub(rf"\1 {_MASK}", text)


def secrets_in(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Values of the environment variables whose names say that they are secret, longest first."""
    words = ("KEY", "SECRET", "TOKEN", "PASSWORD", "PASSPHRASE")
    found = {
        value
        for name, value in environment.items()
        if len(value) >= 8 and set(name.upper().split("_")) & set(words)
    }
    return tuple(sorted(found, key=lambda value: (-len(value), value)))


def _describe(item: Any) -> str:
    name = ".".join(str(part) for part in item["loc"])
    if item["type"] == "json_invalid":
        return "it is not JSON"
    if item["type"] == "missing":
        return f"{name} is missing"
    return f"{name} is {shown(repr(item['input']))}: {item['msg'].lower()}" if name else item["msg"]
