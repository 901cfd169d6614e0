"""The Textual application: modes, the keys that work everywhere, and the way to the engine's host.

It holds no data of its own. Snapshots come from the host and go to the screens; commands go from
the screens to the host; a notice becomes a toast.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from io import StringIO
from pathlib import Path, PurePath
from time import monotonic
from types import MappingProxyType
from typing import ClassVar, Final

from rich.console import Console, RenderableType
from textual import work
from textual.binding import BindingType
from textual.screen import Screen

from console.in_turn import KeysInTurn
from console.keymap import KEYS, bind, key_sign
from console.messages import DeckChanged, EngineFailed, HostPort, Notice
from console.notices import Changed, HostEvent
from console.notices import EngineFailed as EngineFailedEvent
from console.notices import Notice as NoticeEvent
from console.palette import ConsoleCommands
from console.preferences import ConsoleSection
from console.terminal import guard_suspension
from console.textual_memory import let_go_of_removed_widgets
from console.themes import PREFIX, themes_of
from console.trouble import Trouble, noted, noted_text
from screens import base
from screens.about import about_dialog
from screens.backtests import BacktestsScreen
from screens.base import BaseScreen, Follower
from screens.context import ScreenContext
from screens.deck import DeckScreen
from screens.help import HelpDialog
from screens.layout import SCREEN, ignored, recalled_text
from screens.log import LogScreen
from screens.new_run import NewRunForm, StartedRun
from screens.performance import PerformanceScreen
from screens.quit import QUITTING, DrainDialog, quit_dialog
from screens.risk import RiskScreen
from screens.run_actions import READ_ONLY
from screens.scheduled import ScheduledScreen
from screens.signals import SignalsScreen
from screens.text import clean, many
from screens.toasts import ToastQueue, ToastText
from screens.walkers import WalkersScreen

SCREENS: Final[Mapping[str, Callable[[ScreenContext], BaseScreen]]] = MappingProxyType(
    {
        "deck": DeckScreen,
        "signals": SignalsScreen,
        "scheduled": ScheduledScreen,
        "risk": RiskScreen,
        "backtests": BacktestsScreen,
        "walkers": WalkersScreen,
        "performance": PerformanceScreen,
        "log": LogScreen,
    }
)
"""The screen of every mode; its key is ``mode.NAME`` in the keymap."""


_SHEETS: Final = sorted(
    Path(base.__file__).parent.glob("*.tcss"), key=lambda sheet: (sheet.stem != "app", sheet.stem)
)
STYLES: Final[list[str | PurePath]] = [*_SHEETS]
"""Those of every screen, the app's first: loaded later, each would have all of them read again."""

NOT_WATCHED: Final = "No run is watched any more. Quit with {} and start again."
NOT_FOLLOWED: Final = "What it followed goes on. Quit with {} and open it again."
"""What the operator does about a host that failed."""

UNWATCHED: Final = (
    "{} would not be watched while the process is stopped: use another window, or detach tmux"
)
"""Why the process is not suspended."""


class SignaldeckApp(KeysInTurn[None]):
    """The console.

    Args:
        host: the engine's host, started.
        frozen_clock: replaces the monotonic clock, so that a test's screens stand still.
        console: theme, bell and what else the configuration says about the console.
        keymap: key ids (`console.keymap`) to other keys.

    Attributes:
        trouble: what ended the interface other than the operator; it is in the log.
        told: the trouble of an interface before, which this one begins with.
    """

    TITLE = "signaldeck"
    CSS_PATH = STYLES
    DEFAULT_MODE = "deck"
    COMMANDS: ClassVar = {ConsoleCommands}
    NOTIFICATION_TIMEOUT = 5
    BINDINGS: ClassVar[list[BindingType]] = [
        bind("run.new", "new_run"),
        bind("help", "help"),
        bind("about", "about"),
        bind("palette", "command_palette"),
        bind("suspend", "suspend_process", show=False),
        bind("quit", "quit"),
        bind("quit.always", "quit", show=False),
        *(bind(f"mode.{mode}", f"go('{mode}')") for mode in SCREENS),
    ]

    def __init__(
        self,
        host: HostPort,
        *,
        frozen_clock: Callable[[], float] | None = None,
        console: ConsoleSection | None = None,
        keymap: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        let_go_of_removed_widgets()
        # What it would print is a screenful; the log has it under a reference.
        self.error_console = Console(stderr=True, quiet=True)
        self.trouble: Trouble | None = None
        self.told: Trouble | None = None
        self.went_on = True
        self.host = host
        chosen = console or ConsoleSection()
        self.context = ScreenContext(
            host, frozen_clock or monotonic, local_clock=chosen.clock == "local"
        )
        self.animation_level = "none"
        self._toasts = ToastQueue()
        self._bases: dict[str, BaseScreen] = {}
        for mode in SCREENS:
            self.add_mode(mode, partial(self._make, mode))
        for known in themes_of(chosen):
            self.register_theme(known)
        self.theme = PREFIX + chosen.theme
        self._bell_for = frozenset(chosen.bell)
        self._ringing = False
        self._keymap_given = dict(keymap or {})
        if keymap:
            self.set_keymap(keymap)

    def _make(self, mode: str) -> BaseScreen:
        screen = self._bases[mode] = SCREENS[mode](self.context)
        # It is born with the present theme: told otherwise, Textual would read and apply all
        # styles twice more at the first visit of each screen.
        screen._css_update_count = self._css_update_count  # pyright: ignore[reportPrivateUsage]
        return self._bases[mode]

    def on_mount(self) -> None:
        """Listen to the host; keep clocks, ages and gathered notices going."""
        self.host.set_listener(self._from_engine)
        if self.told is None:
            self._go_back_to(recalled_text(self.host.memory, SCREEN))
        if self.host.restored and self.told is None:
            self.notify(clean(self.host.restored), title="restored", markup=False)
        self.set_interval(0.5, self._tell_gathered)
        self.set_interval(1.0, self._every_second)
        if not self.is_headless:
            guard_suspension(lambda: self.reason("suspend_process"), self._refuse_suspension)

    def on_unmount(self) -> None:
        """Leave the host alone."""
        self.host.set_listener(None)

    def key_name(self, key_id: str) -> str:
        """The key of an id as people write it, remapped or not."""
        keys = self._keymap_given.get(key_id) or KEYS[key_id].keys
        return key_sign(keys.partition(",")[0])

    # From the host

    def _from_engine(self, event: HostEvent) -> None:
        """Turn what the engine's thread says into a message; `post_message` is thread-safe."""
        match event:
            case Changed(versions):
                self.post_message(DeckChanged(versions))
            case NoticeEvent(entry):
                self.post_message(Notice(entry))
            case EngineFailedEvent(message):
                self.post_message(EngineFailed(message))

    def on_deck_changed(self) -> None:
        """Let the screens in sight draw what moved; the others catch up when they resume."""
        for screen in self._in_sight():
            if isinstance(screen, BaseScreen):
                screen.follow_in_turn()
            elif isinstance(screen, Follower):
                screen.follow()

    def _every_second(self) -> None:
        for screen in self._in_sight():
            if isinstance(screen, BaseScreen):
                screen.tick()

    def _in_sight(self) -> list[Screen[object]]:
        """The topmost screen, and those that show through below dialogs."""
        if not self.is_running:
            return []  # a timer's tick, or news, while the screens are being taken down
        found: list[Screen[object]] = []
        for screen in reversed(self.screen_stack):
            found.append(screen)
            if not screen.is_modal:
                break
        return found

    def _in_dialog(self) -> bool:
        return any(screen.is_modal for screen in self._in_sight()[:1])

    def on_notice(self, message: Notice) -> None:
        """Show a toast, now or gathered with others."""
        self._ringing = self._ringing or message.entry.action in self._bell_for
        now = self.context.clock()
        self._toast(self._toasts.offer(message.entry, now, dialog=self._in_dialog()))

    def on_engine_failed(self, message: EngineFailed) -> None:
        """Nothing on screen is live any more: say so until it is read."""
        following = self.host.read_only
        self.notify(
            f"{clean(message.error)}\n"
            + (NOT_FOLLOWED if following else NOT_WATCHED).format(self.key_name("quit")),
            title="THIS CONSOLE FOLLOWS NO MORE" if following else "THE ENGINE HAS FAILED",
            severity="error",
            timeout=3600,
            markup=False,
        )

    def _tell_gathered(self) -> None:
        self._toast(self._toasts.due(self.context.clock(), dialog=self._in_dialog()))

    def _toast(self, text: ToastText | None) -> None:
        if text is not None:
            if self._ringing:
                self._ringing = False
                self.bell()
            self.notify(text.message, title=text.title, severity=text.severity, markup=False)

    # Keys that work everywhere

    def action_go(self, mode: str) -> None:
        """Switch to a mode, which is that of the next start."""
        self.switch_mode(mode)
        self.host.memory.remember(SCREEN, mode)

    def _go_back_to(self, mode: str) -> None:
        """Begin where the operator was."""
        if mode in SCREENS:
            self.switch_mode(mode)
        elif mode:
            ignored(SCREEN, mode)

    def action_about(self) -> None:
        """Show versions, files and the state of the exchanges."""
        self.push_screen(about_dialog(self.context, self.theme.removeprefix(PREFIX), self.size))

    def action_help(self) -> None:
        """Show the keys of the screen."""
        self.push_screen(HelpDialog(self.screen.active_bindings))

    def reason(self, action: str) -> str:
        """Why an action of the app cannot act now, "" when it can."""
        if action == "suspend_process":
            running = 0 if self.host.read_only else self.context.snapshot.header.running
            return UNWATCHED.format(many(running, "live run")) if running else ""
        return READ_ONLY if action == "new_run" and self.host.read_only else ""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Grey what cannot act."""
        return None if self.reason(action) else super().check_action(action, parameters)

    def _refuse_suspension(self, why: str) -> None:
        self.notify(why, title="Suspend cannot act", severity="warning", markup=False)

    def action_new_run(self) -> None:
        """Open the New-run form, for the kind of run the screen is about."""
        kind = {"backtests": "backtest", "walkers": "walker"}.get(self.current_mode, "live")
        self.push_screen(NewRunForm(self.context, kind), self._started)

    def _started(self, run: StartedRun | None) -> None:
        """Go where the new run is to be seen."""
        if run is None:
            return
        modes = {"backtest": "backtests", "walker": "walkers", "optimizer": "walkers"}
        mode = modes.get(run.kind, "deck")
        self.switch_mode(mode)
        screen = self._bases[mode]
        screen.end_pause()
        screen.call_after_refresh(screen.select_run, run.run_id)
        self.notify(clean(run.sentence), title="started", timeout=3, markup=False)

    async def action_quit(self) -> None:
        """Ask, then leave; with live runs also offer to drain first."""
        if not any(screen.has_class(QUITTING) for screen in self.screen_stack):
            self._leave()

    @work
    async def _leave(self) -> None:
        answer = await self.push_screen_wait(quit_dialog(self.context.snapshot, self.host))
        if answer == "stay":
            return
        if answer == "drain":
            await self.push_screen_wait(DrainDialog(self.context))
        else:
            await self._close_host()
        self.exit()

    # When something fails

    def _handle_exception(self, error: Exception) -> None:
        """Note what ends the interface; Textual has no public place for that."""
        trouble = noted(error, self._where())
        self.trouble = self.trouble or trouble
        super()._handle_exception(error)

    def panic(self, *renderables: RenderableType) -> None:
        """Note what ended the reading of keys; Textual calls it with a traceback to be printed."""
        with StringIO() as text:
            Console(file=text, width=160).print(*renderables)
            self.trouble = self.trouble or noted_text(text.getvalue(), self._where())
        super().panic(*renderables)

    def _where(self) -> str:
        base = self._bases.get(self.current_mode)
        return "" if base is None else base.mode_name

    async def _close_host(self) -> None:
        try:
            await asyncio.wrap_future(self.host.begin_shutdown(drain=False))
        except Exception as error:
            # The interface ends in any case; what went wrong is the last thing it says.
            self.log.error(error)
