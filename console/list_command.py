"""``signaldeck list``: what is registered and from which file, broken files on stderr."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from console.discovery import KINDS, Workshop, equip, schemas
from console.outcomes import FAILED, UsageProblem, say
from console.run_requests import exchange_names
from console.settings import Project
from engine import Engine
from engine.domain.time import minute_text

Item = Mapping[str, str]


def run_list(project: Project, kind: str, *, as_json: bool) -> int:
    """List one kind of component, or all of them.

    Returns:
        The exit status: `FAILED` when a strategy file is broken.

    Raises:
        UsageProblem: the kind is unknown.
    """
    if kind and kind not in KINDS:
        raise UsageProblem(f"{kind!r} cannot be listed: use one of {', '.join(KINDS)}")
    chosen = (kind,) if kind else tuple(KINDS)
    found, workshop = asyncio.run(_collect(project, chosen))
    broken = [{"file": str(file.path), "error": file.error} for file in workshop.broken]
    if as_json:
        print(json.dumps({**found, "broken": broken}, indent=2, ensure_ascii=False))
    else:
        _print(found)
    for file in workshop.files:
        if file.shadowed:
            say(f"note: {file.path} is not used: {file.shadowed} is in a file of yours")
    for item in broken:
        say(f"broken strategy file: {item['error']}")
    return FAILED if broken else 0


async def _collect(
    project: Project, kinds: Sequence[str]
) -> tuple[dict[str, list[Item]], Workshop]:
    async with Engine(state=":memory:", config=project.engine) as engine:
        workshop = equip(engine, project)
        found: dict[str, list[Item]] = {}
        for plural in kinds:
            items = [_item(workshop, plural, schema) for schema in schemas(engine, plural)]
            if plural == "exchanges":
                listed = {item["name"] for item in items}
                closed = [n for n in exchange_names(engine, workshop) if n not in listed]
                items += [_exchange_item(workshop, name) for name in closed]
            found[plural] = items
        return found, workshop


def _item(workshop: Workshop, plural: str, schema: Any) -> Item:
    facts = {
        "interval": getattr(schema, "interval", ""),
        "from": _instant(getattr(schema, "start_date", None)),
        "to": _instant(getattr(schema, "end_date", None)),
        "note": getattr(schema, "note", None) or "",
    }
    return {
        "name": schema.name,
        **{key: value for key, value in facts.items() if value},
        "file": workshop.origin(KINDS[plural], schema.name),
    }


def _exchange_item(workshop: Workshop, name: str) -> Item:
    spec = workshop.exchange_spec(name)
    note = spec.kind if spec else ""
    return {"name": name, "note": note, "file": workshop.origin("exchange", name)}


def _instant(value: int | None) -> str:
    return "" if value is None else minute_text(value)


def _print(found: Mapping[str, Sequence[Item]]) -> None:
    for plural, items in found.items():
        print(f"{plural}:" if items else f"{plural}: none")
        width = max((len(item["name"]) for item in items), default=0)
        for item in items:
            facts = ", ".join(
                f"{key} {value}" if key in ("from", "to") else value
                for key, value in item.items()
                if key not in ("name", "file") and value
            )
            about = f"  {facts}" if facts else ""
            print(f"  {item['name']:<{width}}{about}  ({item['file']})")
