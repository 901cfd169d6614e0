"""Tables of plain text, for the results that commands print."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def aligned(
    rows: Sequence[Sequence[str]], right: Collection[int], widths: Sequence[int] | None = None
) -> list[str]:
    """Lines of cells that stand below each other, two blanks apart.

    Args:
        rows: at least one, all of one length; headings are a row like any other.
        right: columns that are aligned to the right.
        widths: of the columns; by default those of their longest cells.
    """
    if widths is None:
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if at in right else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
