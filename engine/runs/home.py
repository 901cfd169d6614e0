"""What runs need of the engine they belong to: the composition root, as the layer below sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from engine.domain.bars import CandleKey
from engine.domain.ports import Clock
from engine.domain.schemas import ExchangeSchema, FrameSchema, RiskSchema, StrategySchema
from engine.domain.settings import Settings
from engine.domain.walks import WalkerSchema
from engine.services.bus import Bus
from engine.services.journal import Recorder
from engine.services.loader import LoadedFile
from engine.services.registry import Registry


class Home(Protocol):
    """An engine, which `engine.runtime.Engine` is."""

    settings: Settings
    clock: Clock
    bus: Bus
    recorder: Recorder
    strategies: Registry[StrategySchema]
    risks: Registry[RiskSchema]
    frames: Registry[FrameSchema]
    walkers: Registry[WalkerSchema]
    told_frames: set[str]

    @property
    def files(self) -> Sequence[LoadedFile]:
        """Strategy files that were executed."""
        ...

    def strategy(self, name: str, call: str) -> StrategySchema:
        """A registered strategy whose risk profiles are registered too."""
        ...

    def exchange(self, name: str, call: str) -> ExchangeSchema:
        """A registered exchange, or another one that can be opened by its name."""
        ...

    def callback_failed(self, error: Exception, source: CandleKey) -> None:
        """Report an exchange callback that raised."""
        ...
