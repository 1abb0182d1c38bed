"""Waiting for a condition. Tests never sleep for a fixed time: they wait for what they need, up to a limit."""

import os
import time

# Sanitizer builds and loaded machines are slower; every limit is multiplied by this.
SCALE = float(os.environ.get("STAGEPOST_TEST_TIME_SCALE", "1"))


class WaitTimeout(AssertionError):
    """The awaited condition did not come true in time."""


def wait_for(condition, timeout=20.0, what="condition", detail=None):
    """Calls `condition` until it returns something true and returns that. `detail()` is added to the failure message."""
    end = time.monotonic() + timeout * SCALE
    pause = 0.004
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            extra = f"\n{detail()}" if detail else ""
            raise WaitTimeout(f"waited {timeout * SCALE:.0f} s for: {what}{extra}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)
