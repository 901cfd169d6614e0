"""Runs that are made of backtests: walkers and portfolios, by name, from an engine's registries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from engine.core.ranking import candidates, varied
from engine.domain.errors import NotRegisteredError, SchemaError
from engine.domain.schemas import ExchangeSchema, FrameSchema, StrategySchema
from engine.domain.settings import Settings
from engine.domain.signals import Mode, RunKey
from engine.domain.texts import value_text
from engine.domain.time import MINUTE
from engine.domain.walks import Candidate, WalkerSchema
from engine.runs.backtest import BacktestExecution
from engine.runs.home import Home
from engine.runs.instance import Instance
from engine.runs.portfolio import Member, PortfolioExecution
from engine.runs.walker import InlineRunner, Runner, WalkerExecution
from engine.services.loader import file_of
from engine.services.market import Market
from engine.services.risk import RiskGate


@dataclass(frozen=True, slots=True)
class Walk:
    """One walker on one symbol, everything looked up: what a `Runner` may want to know.

    Attributes:
        strategies: the strategies of the candidates, by name.
    """

    key: RunKey
    walker: WalkerSchema
    frame: FrameSchema
    strategies: dict[str, StrategySchema]
    candidates: tuple[Candidate, ...]
    settings: Settings


MakeRunner = Callable[[Walk], Runner]
"""Makes the runner of one walk; called when it starts."""


class GroupRuns:
    """Makes the walkers and portfolios of one engine.

    Args:
        home: the engine.
        instances: the engine's runs by key; these are added to it.
    """

    def __init__(self, home: Home, instances: dict[RunKey, Instance]) -> None:
        self._home = home
        self._instances = instances
        self._makers: dict[RunKey, MakeRunner | None] = {}

    # -- walkers ---------------------------------------------------------------------------------

    def walker(
        self, symbol: str, walker_name: str, make_runner: MakeRunner | None = None
    ) -> Instance:
        """The walker of this key; it is made on first use.

        Args:
            symbol: what is walked on.
            walker_name: a registered walker.
            make_runner: where its next start tests strategies; None is this process.

        Raises:
            NotRegisteredError: naming what is missing.
            SchemaError: the walker's grid does not fit its strategies.
        """
        walk = self.walk(symbol, walker_name)
        key = walk.key
        self._makers[key] = make_runner
        found = self._instances.get(key)
        if found is None:

            def make() -> WalkerExecution:
                return self.walk_execution(self.walk(symbol, walker_name), self._makers[key])

            found = self._instances[key] = Instance(key, self._home.bus, make, blocking_sink=True)
        return found

    def find_walker(self, symbol: str, walker_name: str) -> Instance:
        """The walker of this key, if it was ever asked for.

        Raises:
            NotRegisteredError: naming what is missing, or that it was never started.
        """
        walker = self._home.walkers.get(walker_name, "Walker")
        key = _walker_key(walker, symbol)
        found = self._instances.get(key)
        if found is None:
            raise NotRegisteredError(
                f"no walker {walker_name!r} on {symbol!r} has been started: run it first"
            )
        return found

    def walk(self, symbol: str, walker_name: str) -> Walk:
        """Everything a registered walker names, looked up.

        Raises:
            NotRegisteredError: naming what is missing.
            SchemaError: the walker's grid does not fit its strategies.
        """
        walker = self._home.walkers.get(walker_name, "Walker")
        self._home.exchange(walker.exchange_name, "Walker")
        return self.walk_of(walker, symbol, self._home.frames.get(walker.frame_name, "Walker"))

    def walk_of(self, walker: WalkerSchema, symbol: str, frame: FrameSchema) -> Walk:
        """`walk` for a walker, a frame and an exchange that need not be registered."""
        call = f"Walker {walker.walker_name!r}"
        strategies = {name: self._home.strategy(name, call) for name in walker.strategies}
        return Walk(
            key=_walker_key(walker, symbol),
            walker=walker,
            frame=frame,
            strategies=strategies,
            candidates=candidates(walker.walker_name, tuple(strategies.values()), walker.grid),
            settings=self._home.settings,
        )

    def walk_execution(
        self,
        walk: Walk,
        make_runner: MakeRunner | None = None,
        changed: Callable[[], None] = lambda: None,
    ) -> WalkerExecution:
        """One session of a walk; arguments as of `walker` and `WalkerExecution`."""
        return WalkerExecution(
            key=walk.key, walker=walk.walker, frame=walk.frame, candidates=walk.candidates,
            runner=(make_runner or self._inline)(walk), bus=self._home.bus, changed=changed,
        )  # fmt: skip

    def origin(self, strategy_name: str) -> tuple[str, str]:
        """File and SHA-256 of a strategy; empty when it was registered in code."""
        file = file_of(self._home.files, strategy_name)
        return ("", "") if file is None else (str(file.path), file.sha256)

    def _inline(self, walk: Walk) -> InlineRunner:
        # The strategies share the bars; nothing of a run is in them.
        exchange = self._home.exchange(walk.key.exchange_name, "Walker")
        market = self._market(exchange, walk.frame, walk.settings)

        def make(candidate: Candidate) -> BacktestExecution:
            strategy = varied(
                walk.strategies[candidate.strategy_name], candidate.params, candidate.name
            )
            key = RunKey(
                Mode.BACKTEST, walk.key.exchange_name, candidate.name, walk.key.symbol,
                walk.key.frame_name,
            )  # fmt: skip
            return BacktestExecution(
                key=key, strategy=strategy, frame=walk.frame, settings=walk.settings,
                market=market, risk=self._gate(walk.settings), bus=self._home.bus,
                told_frames=self._home.told_frames,
            )  # fmt: skip

        return InlineRunner(make, self.origin)

    # -- portfolios ------------------------------------------------------------------------------

    def portfolio(
        self, members: Sequence[tuple[str, str]], *, exchange_name: str, frame_name: str
    ) -> Instance:
        """The portfolio of these members, in whatever order; it is made on first use.

        Args:
            members: (symbol, strategy name) pairs.
            exchange_name, frame_name: the same for all of them.

        Raises:
            SchemaError: no members, or one of them twice.
            NotRegisteredError: naming what is missing.
        """
        call = "Portfolio"
        pairs = checked_members(members)
        strategies = {name: self._home.strategy(name, call) for _, name in pairs}
        exchange = self._home.exchange(exchange_name, call)
        frame = self._home.frames.get(frame_name, call)
        key = portfolio_key(pairs, exchange_name, frame_name)

        def make() -> PortfolioExecution:
            settings = self._home.settings
            market, gate = self._market(exchange, frame, settings), self._gate(settings)
            made = [
                Member(
                    key=RunKey(Mode.BACKTEST, exchange_name, name, symbol, frame_name),
                    strategy=strategies[name], frame=frame, settings=settings, market=market,
                    risk=gate, bus=self._home.bus, told_frames=self._home.told_frames,
                )
                for symbol, name in pairs
            ]  # fmt: skip
            return PortfolioExecution(key=key, frame=frame, members=made, bus=self._home.bus)

        found = self._instances.get(key)
        if found is None:
            found = self._instances[key] = Instance(key, self._home.bus, make, blocking_sink=True)
        return found

    # -- pieces ----------------------------------------------------------------------------------

    def _market(self, exchange: ExchangeSchema, frame: FrameSchema, settings: Settings) -> Market:
        return Market(
            exchange, settings, self._home.clock, frame.end_date + MINUTE,
            self._home.callback_failed,
        )  # fmt: skip

    def _gate(self, settings: Settings) -> RiskGate:
        limit = settings.max_signal_generation_seconds
        return RiskGate(self._home.risks, self._home.bus, limit)


def checked_members(members: Sequence[Any]) -> tuple[tuple[str, str], ...]:
    """The pairs of a portfolio in order of symbol and strategy name.

    Raises:
        SchemaError: there are none, one is no pair of names, or one is there twice.
    """
    pairs: list[tuple[str, str]] = []
    if not isinstance(members, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise SchemaError(f"portfolio: members is {value_text(members)}: must be a list of pairs")
    for member in members:
        match member:
            case (str() as symbol, str() as name) if symbol and name:
                pairs.append((symbol, name))
            case _:
                raise SchemaError(
                    f"portfolio: member {member!r} is no pair (symbol, strategy name)"
                )
    if not pairs:
        raise SchemaError("portfolio: no members: give at least one (symbol, strategy name)")
    twice = {pair for pair in pairs if pairs.count(pair) > 1}
    if twice:
        named = ", ".join(f"{symbol} {name}" for symbol, name in sorted(twice))
        raise SchemaError(f"portfolio: {named} more than once: each pair is one run")
    return tuple(sorted(pairs))


def portfolio_key(pairs: Sequence[tuple[str, str]], exchange_name: str, frame_name: str) -> RunKey:
    """Identity of a portfolio of checked pairs: its names list all symbols, and all pairs."""
    symbols = "+".join(dict.fromkeys(symbol for symbol, _ in pairs))
    names = "+".join(f"{symbol}:{name}" for symbol, name in pairs)
    return RunKey(Mode.PORTFOLIO, exchange_name, names, symbols, frame_name)


def _walker_key(walker: WalkerSchema, symbol: str) -> RunKey:
    return RunKey(Mode.WALKER, walker.exchange_name, walker.walker_name, symbol, walker.frame_name)
