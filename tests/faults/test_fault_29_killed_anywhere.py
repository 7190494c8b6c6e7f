from __future__ import annotations

from campaign import campaign


def test_fault_29_death_at_any_point_loses_nothing_and_does_nothing_twice() -> None:
    report = campaign(seed=29, kills=40)
    assert report.clean, report
    assert report.accepted == report.incidents == report.diagnoses
    assert report.kills == 40
