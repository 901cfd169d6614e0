from __future__ import annotations

from pathlib import Path

import pytest

from console.interface import project_problems
from console.settings import ConfigError, load_project


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("STATE", "STRATEGIES", "CONFIG", "ENGINE__PERCENT_FEE"):
        monkeypatch.delenv(f"SIGNALDECK_{name}", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, text: str, name: str = "signaldeck.toml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def refusal(config: Path | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load_project(config)
    return str(caught.value)


def test_without_a_file_the_defaults_hold(folder: Path) -> None:
    project = load_project()
    assert project.state == str(folder / "state.db")
    assert project.strategies == str(folder / "strategies")
    assert project.engine == {} and project.exchanges == {} and project.keys == {}


def test_a_whole_file_is_read(folder: Path) -> None:
    write(
        folder,
        """
        state = "live.db"
        strategies = "mine"
        [engine]
        percent_fee = 0.05
        exit_trigger = "touch"
        [exchanges.history]
        kind = "files"
        paths = ["a.csv"]
        [keys]
        "deck.stop" = "ctrl+s"
        """,
    )
    project = load_project()
    assert project.state == str(folder / "live.db")
    assert project.strategies == str(folder / "mine")
    assert project.engine == {"percent_fee": 0.05, "exit_trigger": "touch"}
    assert project.exchanges["history"].kind == "files"
    assert project.exchanges["history"].options == {"paths": [str(folder / "a.csv")]}
    assert project.keys == {"deck.stop": "ctrl+s"}


def test_paths_of_a_file_are_relative_to_the_file(folder: Path) -> None:
    path = write(folder, 'strategies = "mine"\nstate = ":memory:"\n', "conf/deck.toml")
    project = load_project(path)
    assert project.strategies == str(folder / "conf" / "mine")
    assert project.state == ":memory:"


def test_command_line_wins_over_environment_over_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, 'state = "file.db"\nstrategies = "file"\n[engine]\npercent_fee = 0.2\n')
    monkeypatch.setenv("SIGNALDECK_STATE", "env.db")
    monkeypatch.setenv("SIGNALDECK_STRATEGIES", "env")
    monkeypatch.setenv("SIGNALDECK_ENGINE__PERCENT_FEE", "0.05")
    project = load_project(state="flag.db")
    assert project.state == str(folder / "flag.db")
    assert project.strategies == str(folder / "env")
    assert project.engine == {"percent_fee": 0.05}


def test_the_environment_can_name_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNALDECK_CONFIG", str(write(folder, 'state = "x.db"', "other.toml")))
    assert load_project().state == str(folder / "x.db")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("stat = 'x'\n", 1, ["unknown key 'stat'", "did you mean 'state'"]),
        ("\n\nstate = 5\n", 3, ["state is 5"]),
        ("[engine]\n# note\npercent_fees = 1\n", 3, ["percent_fees is not a setting"]),
        ("[engine]\npercent_fee = -1\n", 2, ["percent_fee is -1", "non-negative"]),
        ("[engine]\n\nexit_trigger = 'sniff'\n", 3, ["exit_trigger is 'sniff'"]),
        ("[exchanges.a]\nseed = 1\n", 1, ["exchanges.a.kind is missing"]),
        ("[exchanges.a]\nkind = 'bank'\n", 2, ["'a' has kind 'bank'", "simulated"]),
        ("exchanges.a.kind = 'bank'\n", 1, ["'a' has kind 'bank'"]),
        ("state = 'a'\nstate = 'b'\n", 2, ["not valid TOML"]),
        ("a = [1,\n", 1, ["not valid TOML"]),
        ("[ollama]\nhosts = 'a'\n", 2, ["unknown key 'ollama.hosts'", "did you mean 'host'"]),
        ("[ollama]\nkey = 'secret'\n", 2, ["unknown key 'ollama.key'"]),
        ("[ollama]\n\ntimeout_seconds = 0\n", 3, ["ollama.timeout_seconds is 0"]),
        ("[ollama]\nmodel = ''\n", 2, ["ollama.model is ''"]),
    ],
)
def test_mistakes_name_file_line_and_key(
    folder: Path, text: str, line: int, words: list[str]
) -> None:
    path = write(folder, text)
    message = refusal()
    assert message.startswith(f"{path}:{line}: ")
    for word in words:
        assert word in message


def test_the_language_model_is_a_table_and_a_setting(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not any(key.startswith("ollama") for key in load_project().engine)
    write(folder, "[ollama]\nhost = 'http://gpu:11434'\ntimeout_seconds = 5\n")
    monkeypatch.setenv("SIGNALDECK_OLLAMA__MODEL", "small")
    assert load_project().engine == {
        "ollama_host": "http://gpu:11434", "ollama_model": "small", "ollama_timeout_seconds": 5,
    }  # fmt: skip


def test_every_mistake_is_listed(folder: Path) -> None:
    write(folder, "[engine]\npercent_fee = -1\npercent_slippage = -2\n")
    assert len(refusal().splitlines()) == 2


def test_a_bad_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNALDECK_ENGINE__PERCENT_FEE", "much")
    assert refusal().startswith("environment variable SIGNALDECK_ENGINE__PERCENT_FEE: ")


def test_a_named_file_must_exist(folder: Path) -> None:
    assert "no.toml does not exist" in refusal(folder / "no.toml")


def test_the_console_is_configured_and_mistakes_in_it_have_lines(folder: Path) -> None:
    write(
        folder,
        '[console]\ntheme = "own"\nbell = ["error"]\non_terminal_loss = "drain"\n'
        '[console.themes.own]\nbase = "light"\nprimary = "#003366"\n',
    )
    console = load_project().console
    assert (console.theme, console.bell, console.on_terminal_loss) == ("own", ("error",), "drain")
    assert console.on_crash == "drain" and console.themes["own"].colors == {"primary": "#003366"}
    path = write(
        folder,
        '[console]\ntheem = "own"\nbell = ["opend"]\n[console.themes.own]\nprimry = "red"\n',
    )
    said = refusal()
    assert f"{path}:2: unknown key 'console.theem': did you mean 'theme'?" in said
    assert f"{path}:3: console.bell.0 is 'opend'" in said
    assert f"{path}:5: unknown key 'console.themes.own.primry': did you mean 'primary'?" in said


def test_keys_and_themes_that_cannot_be_used_have_lines(folder: Path) -> None:
    path = write(
        folder,
        '[keys]\n"run.stopp" = "z"\n"run.stop" = "ctrl+shft+z"\n"run.new" = ""\n'
        '"help" = "f1,question_mark,ß,ctrl+s,é"\n[console]\ntheme = "neon"\n',
    )
    said = "\n".join(project_problems(load_project()))
    assert f"{path}:2: no key is called 'run.stopp': did you mean 'run.stop'?" in said
    assert f"{path}:3: 'run.stop' is mapped to 'ctrl+shft+z', which is no key" in said
    assert f"{path}:4: 'run.new' is mapped to nothing" in said
    assert f"{path}:7: theme 'neon' is not known" in said and ":5:" not in said
