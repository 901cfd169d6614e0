"""`dump_signal`: what is kept of the conversation that led to a signal."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from engine import EngineError, LanguageModelError, Signal, dump_signal

SIGNAL = Signal("long", 110.0, 90.0, 60, note="why\n```\nnot", id="abc")
HISTORY = [
    {"role": "system", "content": "You trade."},
    {"role": "user", "content": "hours\n1, 2, 3"},
    {"role": "assistant", "content": "OK"},
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Is there a signal?"},
]


async def test_one_file_per_message_and_one_for_the_answer(tmp_path: Path) -> None:
    folder = await dump_signal("abc", HISTORY, SIGNAL, tmp_path / "deep" / "er")
    assert folder == tmp_path / "deep" / "er" / "abc"
    pages = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
    assert sorted(pages) == [
        "00_system_prompt.md", "01_user_message.md", "02_user_message.md", "03_llm_output.md",
    ]  # fmt: skip
    assert all(page.startswith("# ") and "**ID:** abc" in page for page in pages.values())
    assert "1\n\nYou trade.\n" in pages["00_system_prompt.md"]
    assert "2\n\nBe brief.\n" in pages["00_system_prompt.md"]
    assert pages["01_user_message.md"].endswith("hours\n1, 2, 3\n")
    assert pages["02_user_message.md"].endswith("Is there a signal?\n")
    assert not any("OK" in page for page in pages.values())
    for name in ("00_system_prompt.md", "03_llm_output.md"):
        _, _, rest = pages[name].partition("````json\n")
        body, _, _ = rest.partition("\n````\n")
        assert json.loads(body)["note"] == SIGNAL.note and json.loads(body)["id"] == "abc"


async def test_the_working_directory_is_where_it_goes(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    folder = await dump_signal("abc", HISTORY, {"position": "wait"})
    assert folder == tmp_path / "dump" / "strategy" / "abc"


async def test_a_folder_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    folder = await dump_signal("abc", HISTORY, None, tmp_path)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert await dump_signal("abc", HISTORY[:2], SIGNAL, tmp_path) == folder
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


async def test_two_at_once_leave_one_whole_conversation(tmp_path: Path) -> None:
    folders = await asyncio.gather(
        *(dump_signal("abc", HISTORY, SIGNAL, tmp_path) for _ in range(8))
    )
    assert set(folders) == {tmp_path / "abc"}
    assert [path.name for path in tmp_path.iterdir()] == ["abc"]
    assert len(list(folders[0].iterdir())) == 4


@pytest.mark.parametrize("name", ["../../outside", "/etc/passwd", "a/b", "..", "", "a\nb\x00"])
async def test_ids_stay_in_the_folder(name: str, tmp_path: Path) -> None:
    folder = await dump_signal(name, HISTORY, SIGNAL, tmp_path / "in")
    assert folder.parent == tmp_path / "in" and folder.is_dir()
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


async def test_secrets_of_the_environment_are_masked(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("OLLAMA_API_KEY", "key-0123456789")
    history = [
        {"role": "system", "content": "key-0123456789"},
        {"role": "user", "content": "Authorization: Bearer abcdef0123456789"},
    ]
    folder = await dump_signal("abc", history, {"note": "key-0123456789 \ud800"}, tmp_path)
    text = "".join(path.read_text(encoding="utf-8") for path in folder.iterdir())
    assert "0123456789" not in text and text.count("***") == 4


async def test_long_messages_are_warned_about(tmp_path: Path, caplog: Any) -> None:
    caplog.set_level(logging.WARNING)
    long = {"role": "user", "content": "é" * 20_000}
    await dump_signal("abc", [HISTORY[1], long], None, tmp_path)
    (warning,) = caplog.messages
    assert "user message 2 has 39 kB" in warning


async def test_what_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineError, match=r"conversation .* could not be written"):
        await dump_signal("abc", HISTORY, SIGNAL, tmp_path / "file")
    with pytest.raises(EngineError, match="could not be written"):
        await dump_signal("x" * 300, HISTORY, SIGNAL, tmp_path / "in")
    assert list((tmp_path / "in").iterdir()) == []
    with pytest.raises(LanguageModelError, match="message 1"):
        await dump_signal("abc", [{"role": "robot", "content": ""}], SIGNAL, tmp_path)
