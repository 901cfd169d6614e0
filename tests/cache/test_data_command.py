"""``signaldeck data`` as a user runs it: the installed command, real files, real signals."""

from __future__ import annotations

import gzip
import json
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.adapters.cache.candle_cache import CandleCache
from engine.adapters.cache.sidecar import CandleKey
from engine.adapters.exchanges.simulated import SimulatedExchange
from engine.domain.bars import Candles
from engine.domain.time import DAY, MINUTE, from_ms, parse_instant
from tests.console.cli_bed import COMMAND, environment
from tests.console.warm import WarmCommand

Run = Callable[..., subprocess.CompletedProcess[str]]

FIRST = parse_instant("2025-07-01")
KEY = CandleKey("binance", "BTC/USDT", "1m")
NAMES = ("--exchange", "binance", "--symbol", "BTC/USDT")
HEADER = "timestamp,open,high,low,close,volume"
HEAD = ["exchange", "symbol", "interval", "rows", "first", "last", "holes", "MB"]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    for name in ("home", "work"):
        (tmp_path / name).mkdir()
    return tmp_path / "work"


@pytest.fixture
def cache(tmp_path: Path) -> CandleCache:
    return CandleCache(tmp_path / "candles")


@pytest.fixture
def begin(work: Path, cache: CandleCache) -> Callable[..., subprocess.Popen[str]]:
    def call(*arguments: str, environ: dict[str, str] | None = None) -> subprocess.Popen[str]:
        env = environment(work.parent / "home")
        environ = {"SIGNALDECK_CACHE": str(cache.root)} | (environ or {})
        return subprocess.Popen(
            [COMMAND, "data", *arguments],
            cwd=work, env={**env, **environ}, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    return call


@pytest.fixture
def run(work: Path, cache: CandleCache, warm: WarmCommand) -> Run:
    def call(
        *arguments: str, environ: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        env = environment(work.parent / "home") | {"SIGNALDECK_CACHE": str(cache.root)}
        return warm.run(("data", *arguments), work, env | (environ or {}), timeout=120)

    return call


def market(first: int = 0, count: int = 600, symbol: str = "BTCUSDT") -> Candles:
    exchange = SimulatedExchange(seed=1)
    return exchange.get_candles(symbol, "1m", from_ms(FIRST + first * MINUTE), count)


def csv_file(path: Path, candles: Candles, without: range = range(0)) -> str:
    lines = [",".join(map(repr, bar)) for at, bar in enumerate(candles) if at not in without]
    path.write_text("\n".join([HEADER, *lines]) + "\n", encoding="utf-8")
    return str(path)


def rows_of(cache: CandleCache, key: CandleKey = KEY) -> Candles:
    stored = cache.load(key)
    assert stored is not None
    return stored.candles


# -- import --------------------------------------------------------------------------------------


def test_files_are_imported_and_reported(run: Run, work: Path, cache: CandleCache) -> None:
    name = csv_file(work / "BTCUSDT-1m.csv", market(), without=range(100, 103))
    done = run("import", name, *NAMES)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == (
        "BTC/USDT 1m of binance: 597 rows, 2025-07-01 00:00 UTC to 2025-07-01 09:59 UTC, 597 new"
    )
    assert second == "filled holes: 3 bars missing in 1 hole; runs fill them"
    assert len(rows_of(cache)) == 597
    # Again, with what was not in the first half: only the rest is new.
    more = csv_file(work / "more.csv", market(500, 300))
    done = run("import", more, *NAMES, "--json")
    result = json.loads(done.stdout)
    assert (result["rows"], result["added"], result["filled"]) == (300, 200, 0)
    assert result["first"] == FIRST + 500 * MINUTE and result["exchange"] == "binance"
    assert rows_of(cache)[-300:] == market(500, 300)


def test_several_compressed_files_in_any_order(run: Run, work: Path, cache: CandleCache) -> None:
    names: list[str] = []
    for first in (300, 0):
        text = Path(csv_file(work / "x.csv", market(first, 300))).read_bytes()
        (work / f"{first}.csv.gz").write_bytes(gzip.compress(text))
        names.append(f"{first}.csv.gz")
    done = run("import", *names, *NAMES)
    assert done.returncode == 0, done.stderr
    assert rows_of(cache) == market()


def test_long_gaps_between_files_are_no_holes(run: Run, work: Path, cache: CandleCache) -> None:
    names = [csv_file(work / f"{day}.csv", market(day * 1440, 60)) for day in (0, 9)]
    done = run("import", *names, *NAMES, "--json")
    assert json.loads(done.stdout)["gaps"] == [[FIRST + 60 * MINUTE, FIRST + 9 * DAY]]
    done = run("import", *names, *NAMES)
    assert "no bars from 2025-07-01 01:00 UTC to 2025-07-10 00:00 UTC in the files" in done.stderr
    stored = cache.load(KEY)
    assert stored is not None and len(stored.part.covered) == 2 and stored.holes == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{t},nonsense,2,1,1,1", "nonsense"),
        ("{t},1,2,3,1,1", "high is below low"),
        ("{t},-1,2,1,1,1", "a price is not positive"),
        ("{t},0.001,2,0.001,1,1", "more than 1000 times below the median"),
        ("{u},1,2,1,1,1", "off the interval's grid|is no interval"),
    ],
)
def test_nonsense_is_refused_by_its_row(
    run: Run, work: Path, cache: CandleCache, line: str, message: str
) -> None:
    path = Path(csv_file(work / "bars.csv", market()))
    t = FIRST + 600 * MINUTE
    with path.open("a") as file:
        file.write(line.format(t=t, u=t + 1) + "\n")
    done = run("import", str(path), *NAMES)
    assert done.returncode == 1 and not done.stdout
    assert re.search(message, done.stderr), done.stderr
    assert "602" in done.stderr or "row 600" in done.stderr
    assert cache.load(KEY) is None


def test_bars_that_differ_from_stored_ones_are_refused(
    run: Run, work: Path, cache: CandleCache
) -> None:
    run("import", csv_file(work / "a.csv", market()), *NAMES)
    other = csv_file(work / "b.csv", market(symbol="ETHUSDT"))
    done = run("import", other, *NAMES)
    assert done.returncode == 1
    assert "row 0 at 2025-07-01 00:00 UTC" in done.stderr and "1m.json" in done.stderr
    assert rows_of(cache) == market()


def test_usage_of_import(run: Run, work: Path) -> None:
    name = csv_file(work / "ETHUSDT-1m.csv", market())
    done = run("import", name, *NAMES)
    assert done.returncode == 2 and "named after ETHUSDT" in done.stderr
    done = run("import", "absent.csv", *NAMES)
    assert done.returncode == 2 and "absent.csv does not exist" in done.stderr
    name = csv_file(work / "bars.csv", market())
    done = run("import", name, *NAMES, "--interval", "5m")
    assert done.returncode == 1 and "import them with --interval 1m" in done.stderr
    done = run("import", name, *NAMES, "--interval", "7m")
    assert done.returncode == 1 and "interval '7m' is unknown" in done.stderr
    assert run("import", name).returncode == 2
    assert run("import", *NAMES).returncode == 2


def test_a_real_month_is_imported(run: Run, cache: CandleCache) -> None:
    real = Path(__file__).parents[3] / "shared" / "data" / "BTCUSDT-1m-2022-01.csv.gz"
    if not real.exists():
        pytest.skip("the shared market data is not here")
    done = run("import", str(real), *NAMES, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == len(rows_of(cache)) == 45031


# -- download ------------------------------------------------------------------------------------

SIMULATED = ("--exchange", "simulated", "--symbol", "LTCUSDT")
WEEK = ("--from", "2025-07-01", "--to", "2025-07-07T23:59")


def test_a_range_is_downloaded_once(run: Run, cache: CandleCache) -> None:
    done = run("download", *SIMULATED, *WEEK)
    assert done.returncode == 0, done.stderr
    expected = market(0, 20_000, "LTCUSDT")
    expected = Candles(expected.columns())[: sum(expected.timestamp < FIRST + 7 * DAY)]
    missing = 7 * 1440 - len(expected)
    assert missing > 0, "this symbol is known to have holes"
    assert f"{len(expected)} rows stored" in done.stdout
    assert f"no {missing} bars of the range" in done.stdout
    stored = rows_of(cache, CandleKey("simulated", "LTCUSDT", "1m"))
    assert stored[: len(expected)] == expected
    done = run("download", *SIMULATED, *WEEK, "--json")
    result = json.loads(done.stdout)
    assert result["fetched"] == 0 and result["gaps"] == []
    assert (result["rows"], result["missing"]) == (len(expected), missing)


EXCHANGE = """
import asyncio, os
from pathlib import Path
from engine import add_exchange
from engine.adapters.exchanges.simulated import SimulatedExchange

market = SimulatedExchange(seed=1)
page = 0

async def get_candles(symbol, interval, since, limit):
    global page
    page += 1
    with open("requests", "a") as file:
        print(int(since.timestamp() * 1000), limit, file=file)
    if str(page) == os.environ.get("HOLD"):
        # The first page has been written when its sidecar is there.
        while not Path(os.environ["SIDECAR"]).exists():
            await asyncio.sleep(0.01)
        print("holding", flush=True)
        await asyncio.Event().wait()
    if str(page) == os.environ.get("FAIL"):
        raise OSError("the line is cut")
    return market.get_candles(symbol, "1m", since, limit)

add_exchange(exchange_name="slow", get_candles=get_candles, intervals=("1m",))
"""
SLOW = ("--exchange", "slow", "--symbol", "BTCUSDT", *WEEK)
SLOW_KEY = CandleKey("slow", "BTCUSDT", "1m")


def requests(work: Path) -> list[tuple[int, int]]:
    lines = (work / "requests").read_text().splitlines()
    (work / "requests").unlink()
    return [(int(line.split()[0]), int(line.split()[1])) for line in lines]


@pytest.fixture
def hold(
    work: Path, cache: CandleCache, begin: Callable[..., subprocess.Popen[str]]
) -> Callable[[], subprocess.Popen[str]]:
    """A download that has fetched three pages and waits for the fourth."""
    (work / "strategies").mkdir()
    (work / "strategies" / "slow.py").write_text(EXCHANGE)
    environ = {"HOLD": "4", "SIDECAR": str(cache.path(SLOW_KEY))}

    def call() -> subprocess.Popen[str]:
        process = begin("download", *SLOW, environ=environ)
        assert process.stdout is not None and process.stdout.readline() == "holding\n"
        return process

    return call


def test_what_an_exchange_does_not_have_is_told(run: Run, work: Path) -> None:
    (work / "strategies").mkdir()
    holes = EXCHANGE.replace(
        'return market.get_candles(symbol, "1m", since, limit)',
        'return [bar for bar in market.get_candles(symbol, "1m", since, limit)\n'
        "        if bar.timestamp // 60_000 % 1440 >= 200]",
    )
    assert holes != EXCHANGE
    (work / "strategies" / "slow.py").write_text(holes)
    done = run("download", *SLOW)
    assert done.returncode == 0, done.stderr
    assert f"{7 * 1240} rows stored" in done.stdout
    gaps = [line for line in done.stderr.splitlines() if "no bars from" in line]
    assert len(gaps) == 5 and "and 2 more such gaps" in done.stderr
    assert gaps[1] == (
        "note: no bars from 2025-07-02 00:00 UTC to 2025-07-02 03:20 UTC on the exchange, "
        "which will be asked again"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_download_keeps_all_it_has_and_goes_on_from_there(
    run: Run, hold: Callable[[], subprocess.Popen[str]], work: Path, cache: CandleCache, number: int
) -> None:
    process = hold()
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 1 and not stdout
    assert "stopped at 2025-07-03 02:00 UTC: the 3000 rows before it are kept" in stderr
    assert rows_of(cache, SLOW_KEY) == market(0, 3000)
    assert len(requests(work)) == 4
    done = run("download", *SLOW, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["rows"], result["fetched"]) == (7 * 1440, 7 * 1440 - 3000)
    assert requests(work)[0] == (FIRST + 3000 * MINUTE, 1000)
    assert rows_of(cache, SLOW_KEY) == market(0, 7 * 1440)


def test_a_killed_download_goes_on_from_what_was_written(
    run: Run, hold: Callable[[], subprocess.Popen[str]], work: Path, cache: CandleCache
) -> None:
    process = hold()
    process.kill()
    process.communicate(timeout=60)
    kept = len(rows_of(cache, SLOW_KEY))
    assert kept in (1000, 2000, 3000)
    assert rows_of(cache, SLOW_KEY) == market(0, kept)
    requests(work)
    done = run("download", *SLOW)
    assert done.returncode == 0, done.stderr
    assert requests(work)[0] == (FIRST + kept * MINUTE, 1000)
    assert rows_of(cache, SLOW_KEY) == market(0, 7 * 1440)


def test_a_failed_download_keeps_what_came(run: Run, work: Path, cache: CandleCache) -> None:
    (work / "strategies").mkdir()
    (work / "strategies" / "slow.py").write_text(EXCHANGE)
    (work / "signaldeck.toml").write_text("[engine]\nget_candles_retry_count = 0\n")
    done = run("download", *SLOW, environ={"FAIL": "3"})
    assert done.returncode == 1
    assert "OSError: the line is cut" in done.stderr and "goes on from there" in done.stderr
    assert rows_of(cache, SLOW_KEY) == market(0, 2000)


def test_bars_that_are_not_settled_are_left_for_later(run: Run, cache: CandleCache) -> None:
    done = run("download", *SIMULATED, "--from", "2039-01-01", "--to", "2039-01-02")
    assert done.returncode == 1 and not done.stdout
    assert "younger ones may still change" in done.stderr and not cache.root.exists()


def test_usage_of_download(run: Run, work: Path) -> None:
    (work / "signaldeck.toml").write_text(
        '[exchanges.old]\nkind = "files"\npaths = ["a.csv"]\nsymbol = "X"\n'
    )
    for arguments, message in (
        (("--exchange", "nowhere", "--symbol", "X", *WEEK), "exchange 'nowhere' not found"),
        (("--exchange", "old", "--symbol", "X", *WEEK), "signaldeck data import"),
        ((*SIMULATED, "--from", "2025-02-30", "--to", "2025-03-01"), "'2025-02-30' is not a date"),
        ((*SIMULATED, "--from", "2025-02-02", "--to", "2025-02-01"), "exchange them"),
        ((*SIMULATED, *WEEK, "--interval", "7m"), "interval '7m' is unknown"),
    ):
        done = run("download", *arguments)
        assert done.returncode == 2, (arguments, done.stderr)
        assert message in done.stderr and "Traceback" not in done.stderr
    done = run("download", "--exchange", "simulated", "--symbol", "NONE", *WEEK)
    assert done.returncode == 1 and "does not list NONE" in done.stderr
    done = run("download", *SIMULATED, *WEEK, "--interval", "5m")
    assert done.returncode == 1 and "does not serve 5m bars: use one of 1m" in done.stderr


# -- list and verify -----------------------------------------------------------------------------


def test_what_is_kept_is_listed(run: Run, work: Path, cache: CandleCache) -> None:
    done = run("list")
    assert done.returncode == 0 and not done.stdout
    assert f"no candles are kept in {cache.root}" in done.stderr
    run("import", csv_file(work / "a.csv", market(), without=range(5, 7)), *NAMES)
    run("import", csv_file(work / "b.csv", market()), "--exchange", "kraken", "--symbol", "X")
    done = run("list")
    assert done.returncode == 0 and not done.stderr
    head, binance, kraken = done.stdout.splitlines()
    assert head.split() == HEAD
    assert binance.split()[:4] == ["binance", "BTC/USDT", "1m", "598"]
    assert binance.split()[-2] == "2" and kraken.split()[0] == "kraken"
    listed = json.loads(run("list", "--json").stdout)
    assert listed["cache"] == str(cache.root)
    entry = listed["candles"][0]
    assert (entry["symbol"], entry["rows"], entry["missing"]) == ("BTC/USDT", 598, 2)
    assert entry["covered"] == [[FIRST, FIRST + 600 * MINUTE]] and entry["problem"] == ""


def test_damage_is_found_named_and_left_in_place(run: Run, work: Path, cache: CandleCache) -> None:
    done = run("verify")
    assert done.returncode == 0
    name = csv_file(work / "a.csv", market())
    for symbol in ("AAA", "BBB", "CCC"):
        run("import", name, "--exchange", "x", "--symbol", symbol)
    done = run("verify")
    assert done.returncode == 0 and f"3 of 3 intact in {cache.root}" in done.stdout
    harmed = [cache.path(CandleKey("x", symbol, "1m")) for symbol in ("AAA", "BBB")]
    data = next(harmed[0].parent.glob("*.npy"))
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 0x10
    data.write_bytes(content)
    harmed[1].write_text("{")
    done = run("verify")
    assert done.returncode == 1 and "1 of 3 intact" in done.stdout
    for path in harmed:
        assert str(path) in done.stderr and path.exists()
    assert data.name in done.stderr and "CCC" not in done.stderr
    result = json.loads(run("verify", "--json").stdout)
    problems = {Path(entry["file"]): entry["problem"] for entry in result["candles"]}
    assert [bool(problems[path]) for path in harmed] == [True, True]
    assert sum(map(bool, problems.values())) == 2
    # The next import overcomes it, and says where the damaged files went.
    done = run("import", name, "--exchange", "x", "--symbol", "AAA")
    assert done.returncode == 1 and "set aside as 1m.json.damaged-1" in done.stderr
    assert run("import", name, "--exchange", "x", "--symbol", "AAA").returncode == 0
    done = run("list")
    assert done.returncode == 1 and str(harmed[1]) in done.stderr and "AAA" in done.stdout


# -- where it is ---------------------------------------------------------------------------------


def test_where_the_cache_is(work: Path, warm: WarmCommand) -> None:
    (work / "data").mkdir()
    (work / "data" / "signaldeck.toml").write_text('cache = "kept"\n')
    home = environment(work.parent / "home")
    config = ("--config", "data/signaldeck.toml")

    def place(*arguments: str, **environ: str) -> Path:
        command = ("data", "list", "--json", *arguments)
        done = warm.run(command, work, {**home, **environ}, timeout=60)
        return Path(json.loads(done.stdout)["cache"])

    assert place(*config) == work / "data" / "kept"
    assert place(*config, SIGNALDECK_CACHE="here") == work / "here"
    assert place(SIGNALDECK_CACHE="/elsewhere") == Path("/elsewhere")
    platform = place(XDG_CACHE_HOME=str(work / "platform"))
    assert platform.parts[-2:] == ("signaldeck", "candles") and platform != work / "here"
    assert work.parent in platform.parents, "in the folders of the user"


def test_a_wrong_folder_is_named(run: Run, work: Path) -> None:
    (work / "file").write_text("in the way")
    name = csv_file(work / "a.csv", market())
    done = run("import", name, *NAMES, environ={"SIGNALDECK_CACHE": "file"})
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert str(work / "file") in done.stderr and "SIGNALDECK_CACHE" in done.stderr


def test_files_of_a_later_version_are_not_called_damaged(
    run: Run, work: Path, cache: CandleCache
) -> None:
    run("import", csv_file(work / "a.csv", market()), *NAMES)
    path = cache.path(KEY)
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    for command in ("list", "verify"):
        done = run(command)
        assert done.returncode == 1 and "later version" in done.stderr
        assert str(path) in done.stderr and "damaged" not in done.stderr


def test_help_tells_all_of_it(run: Run) -> None:
    done = run("--help")
    assert done.returncode == 0 and "SIGNALDECK_CACHE" in done.stdout
    for command in ("import", "download", "list", "verify"):
        assert f"\n  {command}" in done.stdout
        assert run(command, "--help").returncode == 0
