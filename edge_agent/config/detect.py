"""``[detect]``: how a machine's normal is learned, and when leaving it opens an incident."""

from __future__ import annotations

from pydantic import Field

from edge_agent.config.section import Section


class DetectSection(Section):
    """Detection. The defaults serve all equipment; change them only with a recording at hand."""

    learn_rows: int = Field(default=400, ge=30, le=1_000_000)
    """Rows (one value of each signal) before a machine is watched."""
    row_s: float = Field(default=1.0, ge=0.01, le=3600)
    """Shortest time between two rows, seconds; what comes faster is averaged."""
    max_signals: int = Field(default=300, ge=1, le=10_000)
    """Signals of one machine that are watched; further ones are left out."""
    sensitivity: float = Field(default=1.0, ge=0.1, le=10)
    """Multiplies the score: above 1 finds more and warns more often."""
    snapshot_s: float = Field(default=300.0, ge=5)
    """How often the learned baselines are saved, seconds: what a crash may forget."""
