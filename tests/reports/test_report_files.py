"""Where reports are written, and that a report is written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.errors import EngineError
from engine.reports.files import dump_report, report_path, safe_name

RUN = {
    "mode": "backtest", "name": "sma-cross", "symbol": "BTC/USDT:USDT", "exchange": "binance",
    "frame": "january",
}  # fmt: skip


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (None, "dump/backtest/sma-cross.md"),
        ("./test/temp", "test/temp/sma-cross.md"),
        ("out.d", "out.d/sma-cross.md"),
        ("out/report.md", "out/report.md"),
        ("out/REPORT.MD", "out/REPORT.MD"),
        ("/abs/{exchange}", "/abs/binance/sma-cross.md"),
        ("{symbol}_{name}.md", "BTC_USDT_USDT_sma-cross.md"),
        ("r/{mode}/{exchange}/{symbol}/{frame}/{name}.md",
         "r/backtest/binance/BTC_USDT_USDT/january/sma-cross.md"),
        ("../up", "../up/sma-cross.md"),
    ],
)  # fmt: skip
def test_report_path(template, expected):
    assert report_path(template, **RUN) == Path(expected)


@pytest.mark.parametrize("mode", ["backtest", "live", "walker"])
def test_default_paths(mode):
    assert report_path(mode=mode, name="x") == Path(f"dump/{mode}/x.md")


def test_a_wrong_placeholder_is_named():
    with pytest.raises(EngineError, match=r"holds \{sybmol\}: use \{mode\} \{symbol\} \{name\}"):
        report_path("{sybmol}.md", **RUN)
    with pytest.raises(EngineError, match="report path is 5: must be a text or a Path"):
        report_path(5, **RUN)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("BTCUSDT", "BTCUSDT"), ("BTC/USDT:USDT", "BTC_USDT_USDT"), ("..", "__"), (".", "_"),
        ("", "_"), ("../../etc/passwd", "___.._etc_passwd"), ("..\\x", "___x"),
        (".hidden", "_hidden"),
        ("a\x00b\nc\ud800", "a_b_c_"), ("{name}", "_name_"), ("1000SHIB", "1000SHIB"),
        ("größe", "größe"), ("a.b", "a.b"), ("a b", "a_b"),
    ],
)  # fmt: skip
def test_safe_name(text, expected):
    assert safe_name(text) == expected


@given(text=st.one_of(st.text(), st.text(alphabet="./\\{}:\x00\n ab~")))
def test_a_name_cannot_leave_its_folder(text):
    path = report_path("root/{symbol}/{name}.md", **{**RUN, "symbol": text, "name": text})
    assert len(path.parts) == 3
    assert path.parts[0] == "root"
    assert ".." not in path.parts
    assert not path.parts[1].startswith(".")
    os.fsencode(str(path))


def test_dump_creates_folders_and_honours_absolute_paths(tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    target = tmp_path / "a" / "b" / "r.md"
    assert dump_report("größe\n", target) == target
    assert target.read_bytes() == "größe\n".encode()
    assert list(elsewhere.iterdir()) == []


def test_a_relative_path_is_of_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = dump_report("x", report_path(**RUN))
    assert found == tmp_path / "dump" / "backtest" / "sma-cross.md"
    assert found.read_text() == "x"


def test_a_dump_replaces_the_file_and_leaves_nothing_else(tmp_path):
    target = tmp_path / "r.md"
    dump_report("a much longer first version", target)
    dump_report("second", str(target))
    assert target.read_text() == "second"
    assert os.listdir(tmp_path) == ["r.md"]


def test_whoever_reads_the_old_report_keeps_it_whole(tmp_path):
    target = tmp_path / "r.md"
    dump_report("old", target)
    with target.open() as reader:
        dump_report("new", target)
        assert reader.read() == "old"
    assert target.read_text() == "new"


def test_a_dump_has_the_permissions_of_any_new_file(tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("x")
    assert dump_report("x", tmp_path / "r.md").stat().st_mode == plain.stat().st_mode


def test_a_name_as_long_as_the_system_allows(tmp_path):
    target = tmp_path / ("n" * 252 + ".md")
    assert dump_report("x", target).read_text() == "x"


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    target = tmp_path / "file" / "r.md"
    with pytest.raises(EngineError) as caught:
        dump_report("x", target)
    assert str(target) in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)


def test_a_folder_in_the_way_is_named_and_left_alone(tmp_path):
    target = tmp_path / "r.md"
    target.mkdir()
    with pytest.raises(EngineError, match=r"r\.md could not be written"):
        dump_report("x", target)
    assert os.listdir(tmp_path) == ["r.md"]


def test_a_failed_dump_leaves_the_old_report(tmp_path):
    target = tmp_path / "r.md"
    dump_report("old", target)
    # A lone surrogate cannot be written as UTF-8, and is found after the file was opened.
    with pytest.raises(EngineError, match=r"r\.md could not be written"):
        dump_report("new " * 10_000 + "\ud800", target)
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["r.md"]


def test_an_impossible_path_is_an_engine_error(tmp_path):
    with pytest.raises(EngineError, match="could not be written"):
        dump_report("x", f"{tmp_path}/a\x00b.md")
