"""The component schemas: what ``add_*`` takes, checked when it is registered."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from engine.domain.bars import CANDLE_INTERVALS, FRAME_INTERVALS, SIGNAL_INTERVALS
from engine.domain.errors import SchemaError
from engine.domain.time import MINUTE, to_ms

Name: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=200, strict=True)]
AnyFunction: TypeAlias = Callable[..., Any]

STRATEGY_CALLBACKS = (
    "on_tick", "on_open", "on_active", "on_idle", "on_close", "on_schedule", "on_cancel",
    "on_write", "on_partial_profit", "on_partial_loss", "on_restore",
)  # fmt: skip


def one_of(names: Sequence[str]) -> AfterValidator:
    """Refuses other texts than these."""

    def check(value: str) -> str:
        if value not in names:
            raise ValueError(f"must be one of {', '.join(names)}")
        return value

    return AfterValidator(check)


def callbacks_of(*names: str) -> AfterValidator:
    """Refuses callbacks of other names than these."""

    def check(value: Mapping[str, AnyFunction]) -> Mapping[str, AnyFunction]:
        unknown = [name for name in value if name not in names]
        if unknown:
            raise ValueError(f"{', '.join(unknown)} unknown: use {', '.join(names)}")
        return value

    return AfterValidator(check)


def _or_empty(value: object) -> object:
    return "" if value is None else value


def unique(value: Sequence[str]) -> Sequence[str]:
    """The names; refuses one that is there twice."""
    if len(set(value)) != len(value):
        raise ValueError("holds a name twice")
    return value


def _instant(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, datetime):
        raise ValueError("must be a datetime")
    return to_ms(value)


def _check_whole_minutes(**instants: int) -> None:
    for name, instant in instants.items():
        if instant % MINUTE:
            raise ValueError(f"{name} is not a whole minute: round it")


def is_async(function: AnyFunction) -> bool:
    """Whether calling the function gives a coroutine."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - a callable object's own method
    )


class Schema(BaseModel):
    """Base of all component schemas: immutable, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    @property
    def name(self) -> str:
        """The component's name."""
        raise NotImplementedError


class StrategySchema(Schema):
    """A strategy: a function asked for a signal, at most once per ``interval``."""

    strategy_name: Name
    interval: Annotated[str, one_of(SIGNAL_INTERVALS)]
    get_signal: AnyFunction
    note: str | None = None
    risk_name: Annotated[str, BeforeValidator(_or_empty)] = ""
    risk_list: Annotated[tuple[Name, ...], AfterValidator(unique)] = ()
    params: Mapping[str, Any] = Field(default_factory=dict)
    callbacks: Annotated[Mapping[str, AnyFunction], callbacks_of(*STRATEGY_CALLBACKS)] = Field(
        default_factory=dict
    )

    @property
    def name(self) -> str:
        """The strategy's name."""
        return self.strategy_name

    @property
    def risk_names(self) -> tuple[str, ...]:
        """Every risk profile that must agree: ``risk_name`` first, then ``risk_list``."""
        first = (self.risk_name,) if self.risk_name else ()
        return tuple(dict.fromkeys((*first, *self.risk_list)))


class ExchangeSchema(Schema):
    """An exchange: a function that returns candles, and two that format numbers.

    ``intervals`` names the candle intervals ``get_candles`` serves; None means that it is asked
    for any interval and that what it does not serve is resampled from 1m. ``get_symbols()`` lists
    what can be asked for; ``get_history()`` gives the (first, last) instants of what there is.
    ``get_clock_offset()`` is the exchange's clock minus ours in ms, ``get_rate_limit_used()`` the
    share of its rate limit in use, 0 to 1; either may be None, and come from a coroutine.
    """

    exchange_name: Name
    get_candles: AnyFunction
    note: str | None = None
    format_price: AnyFunction | None = None
    format_quantity: AnyFunction | None = None
    intervals: tuple[Annotated[str, one_of(CANDLE_INTERVALS)], ...] | None = None
    get_symbols: AnyFunction | None = None
    get_history: AnyFunction | None = None
    get_clock_offset: AnyFunction | None = None
    get_rate_limit_used: AnyFunction | None = None
    close: AnyFunction | None = None
    callbacks: Annotated[Mapping[str, AnyFunction], callbacks_of("on_candle_data")] = Field(
        default_factory=dict
    )

    @property
    def name(self) -> str:
        """The exchange's name."""
        return self.exchange_name


class FrameSchema(Schema):
    """A stretch of history: instants from start to end, both inclusive, in ms UTC."""

    frame_name: Name
    interval: Annotated[str, one_of(FRAME_INTERVALS)]
    start_date: Annotated[int, BeforeValidator(_instant)]
    end_date: Annotated[int, BeforeValidator(_instant)]
    note: str | None = None
    callbacks: Annotated[Mapping[str, AnyFunction], callbacks_of("on_timeframe")] = Field(
        default_factory=dict
    )

    @property
    def name(self) -> str:
        """The frame's name."""
        return self.frame_name

    @model_validator(mode="after")
    def _whole_minutes(self) -> FrameSchema:
        _check_whole_minutes(start_date=self.start_date, end_date=self.end_date)
        return self


class RiskValidation(Schema):
    """One rule of a risk profile; it refuses a signal by raising."""

    validate_: AnyFunction = Field(alias="validate")
    note: str = ""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


def _validations(value: Any) -> object:
    if type(value) not in (list, tuple):
        raise ValueError("must be a list")
    return tuple({"validate": item} if callable(item) else item for item in value)


class RiskSchema(Schema):
    """A risk profile: rules every signal must pass, and the positions it has let through."""

    risk_name: Name
    note: str | None = None
    validations: Annotated[tuple[RiskValidation, ...], BeforeValidator(_validations)] = ()
    callbacks: Annotated[Mapping[str, AnyFunction], callbacks_of("on_rejected", "on_allowed")] = (
        Field(default_factory=dict)
    )

    @property
    def name(self) -> str:
        """The profile's name."""
        return self.risk_name


Amount: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
SIZING_METHODS = ("fixed-percentage", "kelly-criterion", "atr-based")
_OF_METHOD: Mapping[str, Sequence[str]] = {
    "risk_percentage": ("fixed-percentage", "atr-based"),
    "kelly_multiplier": ("kelly-criterion",),
    "atr_multiplier": ("atr-based",),
}


class SizingSchema(Schema):
    """How position sizes are computed: one of three methods, and caps that hold for each.

    ``risk_percentage`` belongs to ``fixed-percentage`` and ``atr-based``, which need it;
    ``kelly_multiplier`` to ``kelly-criterion``, ``atr_multiplier`` to ``atr-based``. The caps are
    in percent of the balance (``max_position_percentage``) and in the base currency.
    """

    sizing_name: Name
    method: Annotated[str, one_of(SIZING_METHODS)]
    note: str | None = None
    risk_percentage: Amount | None = None
    kelly_multiplier: Amount = 0.25
    atr_multiplier: Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)] = 2.0
    max_position_percentage: Amount | None = None
    min_position_size: Amount | None = None
    max_position_size: Amount | None = None
    callbacks: Annotated[Mapping[str, AnyFunction], callbacks_of("on_calculate")] = Field(
        default_factory=dict
    )

    @property
    def name(self) -> str:
        """The sizing's name."""
        return self.sizing_name

    @model_validator(mode="after")
    def _fields_of_its_method(self) -> SizingSchema:
        if self.method in _OF_METHOD["risk_percentage"] and self.risk_percentage is None:
            raise ValueError(f"risk_percentage is missing: {self.method} needs a number")
        for field, methods in _OF_METHOD.items():
            # What a schema says of itself names every field: as shipped, they ask for nothing.
            asked = getattr(self, field) != type(self).model_fields[field].default
            if asked and self.method not in methods:
                raise ValueError(f"{field} belongs to {' and '.join(methods)}, not {self.method}")
        low, high = self.min_position_size, self.max_position_size
        if low is not None and high is not None and low > high:
            raise ValueError(f"min_position_size is {low:g}: above max_position_size ({high:g})")
        return self


OPTIMIZER_TEMPLATES = (
    "get_top_banner", "get_user_message", "get_assistant_message", "get_walker_template",
    "get_exchange_template", "get_frame_template", "get_strategy_template",
    "get_launcher_template", "get_text_template", "get_json_template", "get_json_dump_template",
)  # fmt: skip


class OptimizerRange(Schema):
    """A stretch of history: instants from start to end, both inclusive, in ms UTC."""

    start_date: Annotated[int, BeforeValidator(_instant)]
    end_date: Annotated[int, BeforeValidator(_instant)]
    note: str = ""

    @model_validator(mode="after")
    def _in_order(self) -> OptimizerRange:
        _check_whole_minutes(start_date=self.start_date, end_date=self.end_date)
        if self.start_date > self.end_date:
            raise ValueError("start_date is after end_date: exchange them")
        return self


class OptimizerSource(Schema):
    """What a model learns from: ``fetch`` gives rows page by page.

    ``fetch(symbol=, start_date=, end_date=, limit=, offset=)`` returns up to ``limit`` mappings,
    each with an ``id``; a page shorter than ``limit`` is the last. ``user`` and ``assistant``
    ``(symbol, rows, name) -> str`` replace the default messages about the rows.
    """

    name_: Annotated[Name, Field(alias="name")]
    fetch: AnyFunction
    note: str = ""
    user: AnyFunction | None = None
    assistant: AnyFunction | None = None

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    @property
    def name(self) -> str:
        """The source's name."""
        return self.name_


def _sources(value: Any) -> object:
    if type(value) not in (list, tuple):
        raise ValueError("must be a list")
    taken: set[str] = set()
    made: list[Any] = []
    for number, item in enumerate(value, start=1):
        if callable(item):
            named = getattr(item, "__name__", "")
            # Only functions of one name share it: a number makes them apart in every message.
            name = named if named.isidentifier() else f"source-{number}"
            name = f"{name}-{number}" if name in taken else name
            taken.add(name)
            item = {"name": name, "fetch": item}
        made.append(item)
    return tuple(made)


def _named_once(value: Sequence[OptimizerSource]) -> Sequence[OptimizerSource]:
    unique([source.name for source in value])
    return value


class OptimizerSchema(Schema):
    """An optimizer: from data of training ranges to strategies that a language model wrote.

    ``get_prompt(symbol, messages) -> str`` gives the strategy in words, one per training range;
    None asks the configured model. ``imports`` names further modules that the templates of
    ``template`` may import; without it generated code may import the engine and little else.
    ``timeout_seconds`` limits every single call of one of these functions.
    """

    optimizer_name: Name
    range_train: Annotated[tuple[OptimizerRange, ...], Field(min_length=1)]
    range_test: OptimizerRange
    source: Annotated[
        tuple[OptimizerSource, ...],
        BeforeValidator(_sources),
        Field(min_length=1),
        AfterValidator(_named_once),
    ]
    get_prompt: AnyFunction | None = None
    note: str | None = None
    template: Annotated[Mapping[str, AnyFunction], callbacks_of(*OPTIMIZER_TEMPLATES)] = Field(
        default_factory=dict
    )
    imports: Annotated[tuple[Name, ...], AfterValidator(unique)] = ()
    timeout_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 600.0
    callbacks: Annotated[
        Mapping[str, AnyFunction], callbacks_of("on_source_data", "on_data", "on_code", "on_dump")
    ] = Field(default_factory=dict)

    @property
    def name(self) -> str:
        """The optimizer's name."""
        return self.optimizer_name


SchemaKind: TypeAlias = Literal[
    "strategy", "exchange", "frame", "risk", "sizing", "optimizer", "walker"
]
M = TypeVar("M", bound=Schema)


def make(model: type[M], kind: SchemaKind, fields: Mapping[str, Any]) -> M:
    """A schema from keyword fields.

    Raises:
        SchemaError: naming the component and every field that is wrong.
    """
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        name = fields.get(f"{kind}_name")
        lines = [_describe(item) for item in error.errors()]
        raise SchemaError(f"{kind} {name!r}: " + "; ".join(lines)) from None


def _describe(item: Any) -> str:
    name = ".".join(str(part) for part in item["loc"]) or "schema"
    if item["type"] == "missing":
        return f"{name} is missing"
    if item["type"] == "extra_forbidden":
        return f"{name} is not a field"
    shown = repr(item["input"])
    return f"{name} is {shown[:80]}: {item['msg'].removeprefix('Value error, ')}"
