"""What callers give: text and functions, or an error that says which is not.

Without it a number for a name would fail somewhere inside, as a `TypeError` that names nothing.
"""

from __future__ import annotations

from engine.domain.errors import SchemaError


def check_texts(call: str, **given: object) -> None:
    """Raise if something that has to be text is not; None stands for what was not given.

    Args:
        call: who was called, for the message.
        given: values by the argument's name.

    Raises:
        SchemaError: naming every argument that is no text, with its value.
    """
    wrong = [
        f"{name} is {value_text(value)}"
        for name, value in given.items()
        if value is not None and not isinstance(value, str)
    ]
    if wrong:
        raise SchemaError(f"{call}: {', '.join(wrong)}: must be text")


def check_function(what: str, value: object) -> None:
    """Raise if something that will be called cannot be.

    Args:
        what: what it is, for the message.
        value: what was given.

    Raises:
        SchemaError: naming it.
    """
    if not callable(value):
        raise SchemaError(f"{what} is {value_text(value)}: must be a function")


def value_text(value: object) -> str:
    """A value as a message shows it, short, whatever its ``repr`` does."""
    try:
        return repr(value)[:80]
    except Exception:
        return f"an unprintable {type(value).__name__}"
