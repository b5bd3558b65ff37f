"""PASS and FAIL lines, and the exit code that they come to."""
import collections
import sys
import time

_failures = 0
_mentions = collections.Counter()
_start = time.monotonic()


def check(passed: bool, what: str) -> None:
    global _failures
    _failures += not passed
    print(f"{'PASS' if passed else 'FAIL'}  {what}", flush=True)


def note(what: str) -> None:
    print(f"      {what}", flush=True)


def few(what: str) -> bool:
    """Whether less than three differences of this kind have been shown."""
    _mentions[what] += 1
    return _mentions[what] <= 3


def finish() -> None:
    print(f"      {time.monotonic() - _start:.0f} s", flush=True)
    sys.exit(1 if _failures else 0)
