"""A bucket of joules that holds the average power over any window to the budget.

The budget flows in, everything that the gateway takes flows out. Over a window of ``W`` seconds
the energy taken is ``budget x W + level before - level after`` (less what overflowed), so the
average exceeds the budget by at most (capacity + debt) / W whatever the load did. Capacity and
the debt that a running job may make add up to less than 3 % of budget x window. (A token bucket
over energy; Turner, "New directions in communications", 1986, describes it for cells.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace

CAPACITY_SHARE = 0.02
"""Joules in store at most, as a share of budget x window."""
DEBT_SHARE = 0.008
"""Debt at which a running job is stopped, as a share of budget x window."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Joules in store for one budget. Negative: debt, spent in advance."""

    budget_watts: float
    window_s: float
    joules: float = 0.0

    @property
    def capacity(self) -> float:
        """Joules in store at most."""
        return CAPACITY_SHARE * self.budget_watts * self.window_s

    @property
    def fill(self) -> float:
        """Share of the capacity in store; negative in debt."""
        return self.joules / self.capacity

    @property
    def exhausted(self) -> bool:
        """Whether the work that is running must stop now for the average to hold."""
        return self.joules < -DEBT_SHARE * self.budget_watts * self.window_s

    def after(self, seconds: float, watts: float) -> Bucket:
        """The bucket after ``seconds`` in which the whole gateway took ``watts``.

        Debt is bounded by one window's energy: what lies further back is in no window any more.
        """
        flow = (self.budget_watts - watts) * max(0.0, seconds)
        least = -self.budget_watts * self.window_s
        return replace(self, joules=min(self.capacity, max(least, self.joules + flow)))

    def with_budget(self, budget_watts: float, window_s: float) -> Bucket:
        """The same store under another budget: never more joules than there were, nor than fit."""
        other = Bucket(budget_watts, window_s)
        return replace(other, joules=min(self.joules, other.capacity))

    def restored(self, joules: float, away_s: float, idle_watts: float) -> Bucket:
        """The bucket after a restart. The time away repays debt at the idle rate, but earns
        nothing: what the gateway did meanwhile is not known."""
        earned = max(0.0, self.budget_watts - idle_watts) * max(0.0, away_s)
        owed = min(0.0, min(joules, 0.0) + earned)
        return replace(self, joules=owed if joules < 0 else min(joules, self.capacity))
