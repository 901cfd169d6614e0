"""Names to components: one registry per kind, with errors that say what there is instead."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Generic, Protocol, TypeVar

from engine.domain.errors import AlreadyRegisteredError, NotRegisteredError
from engine.domain.texts import value_text


class Named(Protocol):
    """A component schema: it knows its own name."""

    @property
    def name(self) -> str:
        """The component's name."""
        ...


S = TypeVar("S", bound=Named)


class Registry(Generic[S]):
    """Components of one kind in registration order."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._items: dict[str, S] = {}

    def add(self, schema: S) -> S:
        """Register a schema under its name and return it.

        Raises:
            AlreadyRegisteredError: the name is taken.
        """
        if schema.name in self._items:
            raise AlreadyRegisteredError(
                f"{self.kind} {schema.name!r} already exists: choose another name"
            )
        self._items[schema.name] = schema
        return schema

    def get(self, name: str, source: str) -> S:
        """The component of a name.

        Args:
            name: what to look for.
            source: the call that asks, for the message.

        Raises:
            NotRegisteredError: naming the kind, the name, the call and what is registered.
        """
        found = self.find(name)
        if found is None:
            raise NotRegisteredError(
                f"{source}: {self.kind} {value_text(name)} not found. {self._hint(name)}"
            )
        return found

    def find(self, name: object) -> S | None:
        """The component of a name, or None; only text is a name."""
        return self._items.get(name) if isinstance(name, str) else None

    def remove(self, name: str) -> None:
        """Forget a name; unknown names are ignored."""
        self._items.pop(name, None)

    def list(self) -> tuple[S, ...]:
        """All components in registration order."""
        return tuple(self._items.values())

    def names(self) -> tuple[str, ...]:
        """All names in registration order."""
        return tuple(self._items)

    def _hint(self, name: object) -> str:
        if not isinstance(name, str):
            return "A name is text"
        if not self._items:
            return f"No {self.kind} is registered: add one with add_{self.kind}(...)"
        close = get_close_matches(name, self._items, n=1)
        meant = f"Did you mean {close[0]!r}? " if close else ""
        return f"{meant}Registered: {', '.join(self._items)}"
