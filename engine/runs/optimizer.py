"""The optimizer: from sources over training ranges to a strategy module that nobody has run yet.

Per training range it collects every source, shows the rows to a model as a conversation, and takes
down the strategy the model words. From these it generates one module and checks it. Executing that
module is the operator's decision.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from engine.core.code_check import CHECKS, problems_of
from engine.domain.conversation import Message, messages_of
from engine.domain.errors import EngineError, GeneratedCodeError, OptimizerError, RunError
from engine.domain.events import OptimizerProgress
from engine.domain.optimizing import GeneratedModule, OptimizerStrategy, Row
from engine.domain.ports import LanguageModel
from engine.domain.schemas import OptimizerRange, OptimizerSchema, OptimizerSource
from engine.domain.time import from_ms, minute_text
from engine.runs.sources import Pace, SourceReader
from engine.services.bus import Bus
from engine.services.user_calls import call_user

MOST_PROMPT: Final = 100_000
"""Characters of the longest strategy a model may word."""

STRATEGY_INTERVAL: Final = "5m"
FRAME_INTERVAL: Final = "1m"

_log = logging.getLogger("signaldeck.optimizer")


class OptimizerRun:
    """One collection of one optimizer for one symbol.

    Args:
        schema: the optimizer.
        symbol: handed to every function of it.
        bus: hears of progress and of callbacks that fail.
        templates: the default templates by name.
        origin: writes the constants that say where a module comes from.
        question: what the model is asked when the optimizer has no ``get_prompt``.
        model: gives the model that is asked then.
        pace: the clock between requests to a source.

    Attributes:
        schema: the optimizer.
    """

    def __init__(
        self,
        schema: OptimizerSchema,
        symbol: str,
        bus: Bus,
        *,
        templates: Mapping[str, Callable[..., str]],
        origin: Callable[[str, str, Mapping[str, str]], str],
        question: str,
        model: Callable[[], LanguageModel],
        pace: Pace | None = None,
    ) -> None:
        self.schema = schema
        self._symbol = symbol
        self._bus = bus
        self._templates = {**templates, **schema.template}
        self._origin = origin
        self._question = question
        self._model = model
        self._reader = SourceReader(symbol, schema.timeout_seconds, pace or Pace())

    # -- collecting ------------------------------------------------------------------------------

    async def collect(self) -> list[OptimizerStrategy]:
        """Read every source of every training range and have the strategies worded.

        Raises:
            OptimizerError: a source, message or prompt failed; optimizer and range are named.
            LanguageModelError: the model gave no answer.
        """
        found: list[OptimizerStrategy] = []
        for number, span in enumerate(self.schema.range_train):
            try:
                found.append(await self._strategy(number, span))
            except OptimizerError as error:
                raise OptimizerError(
                    f"optimizer {self.schema.name!r}, {_span_text(span)}: {error}"
                ) from error.__cause__
        self._progress(len(self.schema.range_train) * len(self.schema.source))
        await self._call_back("on_data", self._symbol, list(found))
        return found

    async def _strategy(self, number: int, span: OptimizerRange) -> OptimizerStrategy:
        sources = self.schema.source
        messages: list[Message] = []
        for at, source in enumerate(sources):
            self._progress(number * len(sources) + at)
            rows = await self._reader.read(source, span)
            await self._call_back(
                "on_source_data", self._symbol, source.name, list(rows), from_ms(span.start_date),
                from_ms(span.end_date),
            )  # fmt: skip
            messages += await self._messages(source, rows)
        return OptimizerStrategy(
            symbol=self._symbol,
            name=f"train-{number + 1}",
            messages=tuple(dict(message) for message in messages),
            strategy=await self._prompt(messages),
            note=span.note,
            sources=tuple(source.name for source in sources),
            start_date=span.start_date,
            end_date=span.end_date,
        )

    async def _messages(self, source: OptimizerSource, rows: Sequence[Row]) -> list[Message]:
        made: list[Message] = []
        for role, own in (("user", source.user), ("assistant", source.assistant)):
            function = own or self._templates[f"get_{role}_message"]
            what = f"the {role} message of source {source.name!r}"
            content = await self._text(what, function, self._symbol, list(rows), source.name)
            made.append({"role": role, "content": content})
        return made

    async def _prompt(self, messages: Sequence[Message]) -> str:
        if self.schema.get_prompt is None:
            question = self._question.format(symbol=self._symbol)
            asked = [*messages, {"role": "user", "content": question}]
            prompt = await self._model().chat(messages_of(asked))
        else:
            copies = [dict(message) for message in messages]
            prompt = await self._text("get_prompt", self.schema.get_prompt, self._symbol, copies)
        if not prompt.strip():
            raise OptimizerError("get_prompt returned an empty text: there is no strategy")
        if len(prompt) > MOST_PROMPT:
            raise OptimizerError(
                f"the strategy has {len(prompt)} characters: {MOST_PROMPT} are the most a "
                "generated module holds"
            )
        return prompt

    # -- generating ------------------------------------------------------------------------------

    async def generate(self) -> GeneratedModule:
        """Collect, generate the module, and check it.

        Raises:
            GeneratedCodeError: the module must not be offered; every problem is listed.
            OptimizerError: a source, prompt or template failed.
            LanguageModelError: the model gave no answer.
        """
        strategies = await self.collect()
        prefix = _prefix(self.schema.name, self._symbol, strategies)
        names = tuple(f"{prefix}_strategy-{n}" for n in range(1, len(strategies) + 1))
        walker = f"{prefix}_walker"
        code = await self._code(prefix, walker, strategies, names)
        problems = problems_of(code, self.schema.imports)
        if problems:
            raise GeneratedCodeError(problems, code)
        await self._call_back("on_code", self._symbol, code)
        return GeneratedModule(
            optimizer_name=self.schema.name,
            symbol=self._symbol,
            prefix=prefix,
            written_by=self._written_by(),
            code=code,
            strategies=tuple(strategies),
            strategy_names=names,
            walker_name=walker,
            checks=CHECKS,
            warnings=tuple(self._reader.warnings),
        )

    async def _code(
        self,
        prefix: str,
        walker: str,
        strategies: Sequence[OptimizerStrategy],
        names: Sequence[str],
    ) -> str:
        symbol, exchange = self._symbol, f"{prefix}_exchange"
        test = self.schema.range_test
        sections = [await self._section("get_top_banner", symbol), self._where_from(strategies)]
        for name in ("get_json_dump_template", "get_text_template", "get_json_template"):
            sections.append(await self._section(name, symbol))
        sections.append(await self._section("get_exchange_template", symbol, exchange))
        for number, span in enumerate(self.schema.range_train, start=1):
            sections.append(await self._frame(f"{prefix}_train_frame-{number}", span))
        sections.append(await self._frame(f"{prefix}_test_frame", test))
        for name, strategy in zip(names, strategies, strict=True):
            sections.append(
                await self._section(
                    "get_strategy_template", name, STRATEGY_INTERVAL, strategy.strategy
                )
            )
        sections.append(
            await self._section(
                "get_walker_template", walker, exchange, f"{prefix}_test_frame", list(names)
            )
        )
        sections.append(await self._section("get_launcher_template", symbol, walker))
        return "\n\n\n".join(text.strip("\n") for text in sections if text.strip()) + "\n"

    async def _frame(self, name: str, span: OptimizerRange) -> str:
        start, end = from_ms(span.start_date), from_ms(span.end_date)
        return await self._section(
            "get_frame_template", self._symbol, name, FRAME_INTERVAL, start, end
        )

    def _where_from(self, strategies: Sequence[OptimizerStrategy]) -> str:
        notes = {"OPTIMIZER_NOTE": self.schema.note or ""}
        notes |= {f"NOTE_{n}": item.note for n, item in enumerate(strategies, start=1)}
        return self._origin(
            self.schema.name,
            self._written_by(),
            {name: note for name, note in notes.items() if note},
        )

    def _written_by(self) -> str:
        asks = self.schema.get_prompt is None
        return self._model().name if asks else "get_prompt of the optimizer"

    async def _section(self, template: str, *args: Any) -> str:
        return await self._text(f"template {template}", self._templates[template], *args)

    # -- calling users' functions ----------------------------------------------------------------

    async def _text(self, what: str, function: Callable[..., Any], *args: Any) -> str:
        """The text a function of the optimizer returns.

        Raises:
            OptimizerError: it failed, or returned something else; ``what`` is named.
        """
        try:
            text = await call_user(function, self.schema.timeout_seconds, *args)
        except Exception as error:
            name = "" if isinstance(error, EngineError) else f"{type(error).__name__}: "
            raise OptimizerError(f"{what}: {name}{error}") from error
        if not isinstance(text, str):
            raise OptimizerError(f"{what} returned {type(text).__name__}: return a text")
        return text

    async def _call_back(self, name: str, *args: Any) -> None:
        """Call one of the optimizer's callbacks; its failure is an ``error`` event."""
        callback = self.schema.callbacks.get(name)
        if callback is None:
            return
        try:
            await call_user(callback, self.schema.timeout_seconds, *args)
        except Exception as error:
            _log.warning("optimizer %s: %s failed", self.schema.name, name, exc_info=error)
            self._bus.publish("error", RunError(error, stage="callback", symbol=self._symbol))

    async def dumped(self, path: str) -> None:
        """Tell the optimizer where its module was written."""
        await self._call_back("on_dump", self._symbol, path)

    def _progress(self, processed: int) -> None:
        total = len(self.schema.range_train) * len(self.schema.source)
        event = OptimizerProgress(
            self.schema.name, self._symbol, total, processed, processed / total
        )
        self._bus.publish("progress_optimizer", event)


def _span_text(span: OptimizerRange) -> str:
    return f"{minute_text(span.start_date)} to {minute_text(span.end_date)}"


def _prefix(name: str, symbol: str, strategies: Sequence[OptimizerStrategy]) -> str:
    """Short and derived from what was worded: equal strategies get equal names, others differ."""
    told = json.dumps([name, symbol, *(item.strategy for item in strategies)])
    return f"o{hashlib.sha256(told.encode()).hexdigest()[:6]}"
