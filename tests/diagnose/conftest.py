"""What the tests of diagnosis share: clients of a real worker."""

from __future__ import annotations

from inference.conftest import tiny_model
from workers import make

__all__ = ["make", "tiny_model"]
