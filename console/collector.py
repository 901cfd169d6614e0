"""Keeps Python's garbage collector from holding up keys.

A full collection walks every object there is, also the half million that modules left behind and
that never go: 70 to 90 ms, in whichever thread happens to trigger it, and meanwhile no key is
answered. Those objects are set aside once the program has started.
"""

from __future__ import annotations

import gc


def set_aside_what_stays() -> None:
    """Leave everything that exists now out of later collections; call it when all is loaded."""
    gc.collect()
    gc.freeze()
