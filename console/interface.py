"""Makes the app that the supervisor shows: the usual one, or one that begins with a failure."""

from __future__ import annotations

from collections.abc import Mapping

from textual.screen import Screen

from console.app import SignaldeckApp
from console.keymap import keymap_problems
from console.messages import HostPort
from console.preferences import ConsoleSection
from console.settings import Project
from console.themes import theme_problems
from console.trouble import Trouble
from screens.layout import SCREEN
from screens.trouble import TroubleScreen


class RecoveredApp(SignaldeckApp):
    """An app that tells of the failure of the one before; nothing else is drawn until it is left.

    Args:
        host: the engine's host, which has gone on.
        told: the failure.
        console: theme, bell and what else the configuration says about the console.
        keymap: key ids to other keys.
    """

    DEFAULT_MODE = "trouble"

    def __init__(
        self,
        host: HostPort,
        told: Trouble,
        console: ConsoleSection | None = None,
        keymap: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(host, console=console, keymap=keymap)
        self.add_mode("trouble", lambda: self._tell(told))
        self.told = told
        # The screen that failed must not be the first one of the next start.
        host.memory.remember(SCREEN, "deck")
        self.went_on = False

    def _tell(self, told: Trouble) -> Screen[None]:
        return TroubleScreen(self.context, told)

    def action_go(self, mode: str) -> None:
        """The operator goes on to a screen."""
        self.went_on = True
        super().action_go(mode)


def project_problems(project: Project) -> tuple[str, ...]:
    """What cannot be used of ``[keys]`` and ``[console]``, each with its file and line."""
    keys = [
        f"{project.place('keys', key)}: {problem}"
        for key, problem in keymap_problems(project.keys).items()
    ]
    themes = [
        f"{project.place('console', *key)}: {problem}"
        for key, problem in theme_problems(project.console).items()
    ]
    return (*keys, *themes)


def make_app(
    host: HostPort, keymap: Mapping[str, str], console: ConsoleSection, trouble: Trouble | None
) -> SignaldeckApp:
    """The app; after a failure one that begins by telling of it."""
    if trouble is None:
        return SignaldeckApp(host, console=console, keymap=keymap)
    return RecoveredApp(host, trouble, console, keymap)
