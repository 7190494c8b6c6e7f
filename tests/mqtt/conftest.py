"""The stations and the peer of the fault tests, for what needs no fault."""

from __future__ import annotations

from faults.conftest import peer, stations

__all__ = ["peer", "stations"]
