"""What a model may answer to the question for a signal, and what is kept of a conversation."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import LanguageModelError, Signal
from engine.domain.conversation import (
    SIGNAL_JSON_SCHEMA,
    messages_of,
    redacted,
    secrets_in,
    signal_of,
)

ANSWER: dict[str, Any] = {
    "position": "long", "note": "why", "price_open": 100.5, "price_take_profit": 110,
    "price_stop_loss": 90, "minute_estimated_time": 60,
}  # fmt: skip


def answer(**changes: Any) -> str:
    return json.dumps({**ANSWER, **changes})


def test_an_answer_becomes_a_signal() -> None:
    expected = Signal("long", 110, 90, 60, price_open=100.5, note="why", id="one")
    assert signal_of(answer(), "one") == expected
    assert signal_of(f"```json\n{answer()}\n```\n", "one") == expected
    assert signal_of(answer(position="short", more="ignored"), "one") is not None


@pytest.mark.parametrize(
    "said",
    [answer(position="wait"), '{"position": "wait"}', answer(position="wait", price_open="?")],
)
def test_wait_is_no_signal_whatever_else_is_said(said: str) -> None:
    assert signal_of(said, "one") is None


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("I would go long.", "it is not JSON. It said: 'I would go long.'"),
        (answer() + " and good luck", "it is not JSON"),
        (answer(position="buy"), "position is \"'buy'\""),
        (answer(price_open=None), "price_open is 'None'"),
        (answer(minute_estimated_time=1.5), "minute_estimated_time is '1.5'"),
        (answer(price_stop_loss=float("nan")), "price_stop_loss is 'nan'"),
        (answer(note=None), "note is 'None'"),
        ('{"position": "long"}', "note is missing; price_open is missing"),
        ("[]", "not a signal"),
        ("null", "not a signal"),
        ('{"position": "long", ' + "x" * 5000, "x..."),
    ],
)
def test_other_answers_are_quoted_and_refused(said: str, words: str) -> None:
    with pytest.raises(LanguageModelError) as caught:
        signal_of(said, "one")
    assert words in str(caught.value) and len(str(caught.value)) < 800


@settings(max_examples=40, deadline=None)
@given(st.text() | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(json.dumps))
def test_nonsense_is_never_a_signal(said: str) -> None:
    with pytest.raises(LanguageModelError):
        signal_of(said, "one")


def test_everything_is_required_of_the_answer() -> None:
    assert set(SIGNAL_JSON_SCHEMA["required"]) == set(ANSWER)
    assert SIGNAL_JSON_SCHEMA["properties"]["position"]["enum"] == ["wait", "long", "short"]


def test_conversations_are_copied_and_checked() -> None:
    given_ = [{"role": "user", "content": "a", "more": 1}]
    copied = messages_of(given_)
    assert copied == [{"role": "user", "content": "a"}]
    for wrong in ([{"role": "robot", "content": "a"}], [{"role": "user"}], [{"content": 3}]):
        with pytest.raises(LanguageModelError, match=r"message 1 is .*needs a role"):
            messages_of(wrong)
    with pytest.raises(LanguageModelError, match="at least one message"):
        messages_of([])


def test_secrets_are_masked() -> None:
    environment = {
        "OLLAMA_API_KEY": "abcdefgh12", "BINANCE_SECRET": "abcdefgh12345", "PATH": "/usr/local/bin",
        "MONKEY": "not-a-secret", "TOKEN": "short", "DB_PASSWORD": "p4ssw0rd!",
    }  # fmt: skip
    secrets = secrets_in(environment)
    assert secrets == ("abcdefgh12345", "abcdefgh12", "p4ssw0rd!")
    text = "abcdefgh12345 abcdefgh12 p4ssw0rd! /usr/local/bin not-a-secret Bearer zyxwvut987"
    assert redacted(text, secrets) == "*** *** *** /usr/local/bin not-a-secret Bearer ***"
