"""Fails when a test was skipped that is not on the list of tests that may be.

Usage: skips.py JUNIT_XML ALLOWED. A line of ALLOWED is a pattern (as of `fnmatch`) for
``module::test``, then white space, ``#`` and the reason.
"""

from __future__ import annotations

import sys
from fnmatch import fnmatchcase
from pathlib import Path
from xml.etree import ElementTree


def main(report: str, allowed: str) -> int:
    """Print every skip; 1 when one of them is not allowed, or when no test ran at all."""
    lines = Path(allowed).read_text(encoding="utf-8").splitlines()
    patterns = [pattern for line in lines if (pattern := line.split("#", 1)[0].strip())]
    status, count = 0, 0
    for case in ElementTree.parse(report).iter("testcase"):
        count += 1
        skipped = case.find("skipped")
        if skipped is None:
            continue
        name = f"{case.get('classname')}::{case.get('name')}"
        known = any(fnmatchcase(name, pattern) for pattern in patterns)
        reason = skipped.get("message") or ""
        print(f"{'allowed skip' if known else 'SKIPPED'}: {name}: {reason}")
        status |= not known
    if not count:
        print("no test ran")
    return int(status or not count)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
