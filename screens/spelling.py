"""Keys inside sentences: ``press {run.new}`` names the key that starts a run, remapped or not."""

from __future__ import annotations

import re
from typing import Protocol, runtime_checkable

from textual.dom import DOMNode

from console.keymap import KEYS, key_sign

_PLACE = re.compile(r"\{([a-z_]+(?:\.[a-z_]+)*)\}")


@runtime_checkable
class NamesKeys(Protocol):
    """An app that knows which key a key id is on."""

    def key_name(self, key_id: str) -> str:
        """The key as people write it."""
        ...


def default_key_name(key_id: str) -> str:
    """The key of an id where nothing is remapped."""
    return key_sign(KEYS[key_id].keys.partition(",")[0])


def spell(node: DOMNode, text: str) -> str:
    """The text with every ``{key.id}`` replaced by that key's name."""
    if "{" not in text:
        return text
    app = node.app
    name = app.key_name if isinstance(app, NamesKeys) else default_key_name
    return _PLACE.sub(lambda m: name(m[1]) if m[1] in KEYS else m[0], text)
