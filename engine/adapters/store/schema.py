"""Versions of the state file: how one is recognised, and how an older one becomes the present."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Final, TypeAlias

Migration: TypeAlias = str
"""SQL that takes a file from one version to the next; the n-th one starts from version n."""

APPLICATION_ID: Final = int.from_bytes(b"SIDK", "big")
"""SQLite's ``application_id`` of our files: a database of another program is left alone."""


def migrations() -> tuple[Migration, ...]:
    """All steps, from an empty file (version 0) on; their number is the present version."""
    return ((files("engine.adapters.store") / "schema.sql").read_text(encoding="utf-8"),)


def migration_script(version: int, steps: Sequence[Migration]) -> str:
    """One script that takes a file from ``version`` to ``len(steps)``, as one transaction."""
    body = "\n".join(steps[version:])
    return f"BEGIN IMMEDIATE;\n{body}\nPRAGMA user_version = {len(steps)};\nCOMMIT;"
