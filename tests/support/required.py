"""What a test does without something that it needs: STAGEPOST_TEST_REQUIRED, which scripts/test sets, says that all of it must be there."""

import os

import pytest

REQUIRED = bool(os.environ.get("STAGEPOST_TEST_REQUIRED"))


def not_there(reason):
    """A failure where everything is required, otherwise a skipped test."""
    (pytest.fail if REQUIRED else pytest.skip)(reason)
