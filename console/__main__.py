"""``python -m console`` is ``signaldeck``."""

from __future__ import annotations

from console.entry import main

if __name__ == "__main__":
    main()
