"""One exchange is imported, not a hundred; and a program that wants them all still gets them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from engine.adapters.exchanges.ccxt_library import check_id, exchange_ids
from engine.domain.errors import NotRegisteredError


def result(code: str) -> Any:
    """What a fresh interpreter prints, as JSON."""
    prelude = "import json, sys\nfrom engine.adapters.exchanges import ccxt_library as library\n"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", prelude + code],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


_LOADED = "sorted(m for m in sys.modules if m.startswith('ccxt'))"


def test_ids_are_known_without_an_import() -> None:
    loaded = result(f"library.exchange_ids(); print(json.dumps({_LOADED}))")
    assert loaded == []
    assert {"binance", "okx", "kraken", "coinbase"} <= exchange_ids()
    assert "base" not in exchange_ids()


def test_one_exchange_is_imported() -> None:
    loaded = result(f"library.client_class('binanceusdm')({{}}); print(json.dumps({_LOADED}))")
    exchanges = {name.rpartition(".")[2] for name in loaded} & exchange_ids()
    assert exchanges == {"binance", "binanceusdm"}
    assert len(loaded) < 40


ALL = "import ccxt.async_support as c; found = [c.binance, c.kraken]"
OURS = "ours = library.client_class('binance')"


@pytest.mark.parametrize(
    "lines",
    [
        (OURS, ALL),
        (ALL, OURS),
        (OURS, "from ccxt.async_support import binance, kraken; found = [binance, kraken]"),
        (OURS, "import ccxt; found = [ccxt.binance, ccxt.kraken, ccxt.okx]"),
        (OURS, "import ccxt.pro; found = [ccxt.pro.binance, ccxt.pro.okx]"),
    ],
)
def test_a_strategy_may_use_all_of_ccxt(lines: tuple[str, str]) -> None:
    """Exchanges are classes to it, not modules, whichever import came first."""
    check = "print(json.dumps([isinstance(item, type) for item in found]))"
    assert all(result("\n".join((*lines, check))))


def test_the_class_is_the_same_for_all() -> None:
    lines = "ours = library.client_class('kraken')\nimport ccxt.async_support as c\n"
    assert result(lines + "print(json.dumps(ours is c.kraken and len(c.exchanges) > 90))")


def test_missing_names_are_missing() -> None:
    lines = "library.client_class('kraken')\nimport ccxt, ccxt.async_support as c\n"
    found = "[ccxt.__version__ == c.__version__, hasattr(ccxt, 'zzz'), hasattr(c, 'zzz')]"
    assert result(f"{lines}print(json.dumps({found}))") == [True, False, False]


def test_probing_for_a_tools_attribute_imports_nothing() -> None:
    lines = "library.client_class('kraken')\nimport ccxt\nhasattr(ccxt, '__wrapped__')\n"
    assert len(result(lines + f"print(json.dumps({_LOADED}))")) < 40


def test_unknown_ids() -> None:
    with pytest.raises(NotRegisteredError, match="no exchange 'binanc': did you mean binance"):
        check_id("binanc")
    with pytest.raises(NotRegisteredError, match=r"see the list at docs\.ccxt\.com"):
        check_id("qqqqqqqq")
