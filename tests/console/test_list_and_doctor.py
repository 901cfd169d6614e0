from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from console.cli import run as run_here
from engine.adapters.store.sqlite import SqliteStore
from tests.console.cli_bed import COMMAND, Run, strategy_file
from tests.servers.ollama import MODEL, serving
from tests.store.store_bed import key_of, opening, tampered

EXAMPLES = {"sma-cross", "breakout", "rsi-reversion", "llm-signal"}


def test_help_is_everywhere(run: Run) -> None:
    for command in ((), ("demo",), ("backtest",), ("live",), ("status",), ("list",), ("doctor",)):
        done = run(*command, "--help")
        assert (done.returncode, done.stderr) == (0, "")
        assert "--strategies" in done.stdout and "--config" in done.stdout
    assert run("--version").stdout.startswith("signaldeck ")


def test_unknown_commands_and_kinds_are_bad_usage(run: Run) -> None:
    assert run("trade").returncode == 2
    done = run("list", "gadgets")
    assert done.returncode == 2
    assert "'gadgets'" in done.stderr and "strategies" in done.stderr


def test_the_console_needs_a_terminal(run: Run) -> None:
    for command in ((), ("demo",)):
        done = run(*command)
        assert (done.returncode, done.stdout) == (2, "")
        assert "terminal" in done.stderr


def test_examples_and_built_in_exchanges_are_listed_with_their_origin(run: Run) -> None:
    done = run("list", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    files = {item["name"]: Path(item["file"]) for item in found["strategies"]}
    assert set(files) == EXAMPLES
    assert all(path.is_file() for path in files.values())
    assert {"name": "simulated", "note": "simulated", "file": "built-in"} in found["exchanges"]
    assert found["broken"] == []
    text = run("list", "strategies")
    assert all(name in text.stdout for name in EXAMPLES)
    assert "exchanges" not in text.stdout


def test_configured_exchanges_are_listed_without_being_read(run: Run, work: Path) -> None:
    (work / "signaldeck.toml").write_text(
        '[exchanges.history]\nkind = "files"\npaths = ["gone.csv"]\n'
    )
    found = json.loads(run("list", "exchanges", "--json").stdout)["exchanges"]
    assert {"name": "history", "note": "files", "file": "signaldeck.toml"} in found


def test_a_file_of_the_user_takes_the_place_of_a_shipped_one_visibly(run: Run, work: Path) -> None:
    own = strategy_file(work / "strategies", "breakout", "return None")
    done = run("list", "strategies", "--json")
    assert done.returncode == 0
    files = {item["name"]: item["file"] for item in json.loads(done.stdout)["strategies"]}
    assert set(files) == EXAMPLES and files["breakout"] == str(own)
    assert "is not used: strategy 'breakout' is in a file of yours" in done.stderr


def test_broken_files_are_named_on_stderr_and_good_ones_are_listed(run: Run, work: Path) -> None:
    good = strategy_file(work / "mine", "good", "return None")
    half = good.read_text() + "\nraise RuntimeError('late')\n"
    (work / "mine" / "half.py").write_text(half.replace('"good"', '"half"'))
    (work / "mine" / "typo.py").write_text("def f(:\n")
    done = run("list", "strategies", "--strategies", "mine", "--json")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert {item["name"] for item in found["strategies"]} == EXAMPLES | {"good"}
    assert [Path(item["file"]).name for item in found["broken"]] == ["half.py", "typo.py"]
    assert "half.py:7: RuntimeError: late" in done.stderr
    assert "typo.py:1: SyntaxError" in done.stderr


def test_options_may_stand_before_the_command(run: Run, work: Path) -> None:
    strategy_file(work / "mine", "good", "return None")
    done = run("--strategies", "mine", "list", "strategies")
    assert "good" in done.stdout


def test_a_misspelt_key_is_bad_usage(run: Run, work: Path) -> None:
    (work / "signaldeck.toml").write_text("[engine]\npercent_fees = 1\n")
    done = run("list")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{work / 'signaldeck.toml'}:2: percent_fees is not a setting" in done.stderr


def test_doctor_finds_a_healthy_installation(run: Run, tmp_path: Path) -> None:
    done = run("doctor", "--json")
    assert done.returncode == 0, done.stdout
    found = json.loads(done.stdout)
    checks = {check["name"]: check for check in found["checks"]}
    assert found["ok"] is True
    assert {"python", "packages", "configuration", "state", "log", "strategies"} <= set(checks)
    assert "textual" in checks["packages"]["detail"]
    assert all(name in checks["strategies"]["detail"] for name in EXAMPLES)
    assert checks["exchange simulated"]["status"] == "ok"
    assert checks["ollama"]["status"] == "ok", "nobody has configured it"
    assert checks["log"]["detail"].startswith(str(tmp_path / "home"))


def test_doctor_says_everything_that_is_wrong(run: Run, work: Path) -> None:
    strategy_file(work / "strategies", "fine", "return None")
    (work / "strategies" / "typo.py").write_text("def f(:\n")
    (work / "signaldeck.toml").write_text(
        'state = "signaldeck.toml/x.db"\n'
        '[exchanges.history]\nkind = "files"\npaths = ["gone.csv"]\n'
        '[exchanges.odd]\nkind = "simulated"\nseed = "x"\n'
        '[exchanges.fine]\nkind = "simulated"\nseed = 3\n'
    )
    done = run("doctor", "--json")
    assert done.returncode == 1
    checks = json.loads(done.stdout)["checks"]
    failed = {check["name"]: check for check in checks if check["status"] == "fail"}
    assert set(failed) == {"strategy file", "state", "exchange history", "exchange odd"}
    assert "typo.py:1" in failed["strategy file"]["detail"]
    assert "gone.csv" in failed["exchange history"]["detail"]
    assert all(check["fix"] for check in failed.values())


async def test_doctor_looks_into_the_state_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "state.db"
    store = SqliteStore(path)
    await store.open()
    await store.commit(opening(key_of()))

    async def row(status: int) -> dict[str, str]:
        assert await asyncio.to_thread(run_here, ["doctor", "--json"]) == status
        checks = json.loads(capsys.readouterr().out)["checks"]
        return next(check for check in checks if check["name"] == "state file")

    found = await row(0)
    assert found["status"] == "ok"
    assert f"sound, schema 1, 0.1 MB, owner: process {os.getpid()}, since 20" in found["detail"]
    await store.close()
    tampered(path, [("UPDATE held SET payload = 'x'", ())])
    assert (await row(0))["status"] == "warn"
    with path.open("r+b") as file:
        file.seek(2 * 4096)
        file.write(b"x" * 4096)
    damaged = await row(1)
    assert damaged["status"] == "fail" and f"{path} is damaged" in damaged["detail"]


async def test_doctor_asks_the_language_models_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("OLLAMA_HOST", "OLLAMA_MODEL", "OLLAMA_API_KEY"):
        monkeypatch.delenv(name, raising=False)

    async def row(table: str) -> tuple[str, str]:
        (tmp_path / "signaldeck.toml").write_text(table)
        assert await asyncio.to_thread(run_here, ["doctor", "--json"]) == 0
        checks = json.loads(capsys.readouterr().out)["checks"]
        found = next(check for check in checks if check["name"] == "ollama")
        return found["status"], f"{found['detail']} {found['fix']}"

    async with serving("hold") as server:
        host = f'[ollama]\nhost = "{server.url}"\n'
        status, said = await row(f'{host}model = "{MODEL}"\n')
        assert status == "ok" and f"{MODEL} at {server.url} is there" in said
        status, said = await row(f'{host}model = "other"\n')
        assert status == "warn" and f"only {MODEL} ollama pull other" in said
        monkeypatch.setattr("console.doctor.MODEL_SECONDS", 0.2)
        server.models = ()
        status, said = await row(host)
        assert status == "warn" and "within 0.2 s" in said
    status, said = await row(host)
    assert status == "warn" and f"no Ollama answers at {server.url}" in said
    status, said = await row('[ollama]\nhost = "http://me:secret@localhost"\n')
    assert status == "warn" and "user name or password" in said and "secret" not in said
    monkeypatch.setenv("OLLAMA_HOST", "http://127.0.0.1:1")
    assert (await row(""))[0] == "warn", "the environment names a host"


def test_doctor_survives_a_broken_configuration(run: Run, work: Path) -> None:
    (work / "signaldeck.toml").write_text("state = \n")
    done = run("doctor")
    assert done.returncode == 1
    assert "fail  configuration" in done.stdout and "signaldeck.toml:1" in done.stdout
    (work / "signaldeck.toml").write_text('[keys]\n"run.stop" = "n"\n')
    done = run("doctor")
    assert done.returncode == 1
    assert "signaldeck.toml:2: 'run.stop' and 'run.new'" in done.stdout
    assert "does not start with it" in done.stdout


def test_the_reader_may_leave_early(work: Path, run: Run) -> None:
    script = f"{COMMAND} list | true; echo ${{PIPESTATUS[0]}}"
    done = run("-c", script, program=("bash",))
    assert done.stdout.strip() in ("0", "1"), "0 when it had written all before the reader left"
    assert done.stderr == ""


def test_what_a_strategy_file_prints_does_not_spoil_the_data(run: Run, work: Path) -> None:
    folder = work / "strategies"
    folder.mkdir()
    (folder / "chatty.py").write_text("print('hello from the file')\n", encoding="utf-8")
    done = run("list", "--json")
    assert json.loads(done.stdout) and "hello from the file" in done.stderr
