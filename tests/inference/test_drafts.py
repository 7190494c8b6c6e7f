"""What prompt lookup proposes; that it changes no answer stands beside the reference loop."""

from __future__ import annotations

from edge_agent.inference.drafts import FIRST, LONGEST, PromptLookup, shared_start


def test_what_followed_the_last_pair_is_proposed() -> None:
    lookup = PromptLookup([1, 2, 3, 4, 5, 6])
    assert lookup.draft(LONGEST) == []
    lookup.extend([2, 3])
    assert lookup.draft(LONGEST) == [4, 5]
    assert lookup.draft(1) == [4]
    assert lookup.draft(0) == []


def test_the_latest_place_counts_and_the_answer_itself_is_looked_through() -> None:
    lookup = PromptLookup([1, 2, 3])
    lookup.extend([9, 1, 2, 7, 8])
    lookup.extend([1, 2])
    assert lookup.draft(LONGEST) == [7, 8]


def test_drafts_grow_while_they_hold_and_shrink_where_they_break() -> None:
    lookup = PromptLookup([*range(20), 0, 1])
    lengths = []
    for proposed, accepted in ((2, 2), (4, 4), (7, 5), (5, 0), (0, 0)):
        lookup.judge(proposed, accepted)
        lengths.append(len(lookup.draft(LONGEST)))
    assert lengths == [4, LONGEST, 5, FIRST, FIRST]


def test_a_short_text_proposes_nothing() -> None:
    for text in ([], [1], [1, 2]):
        assert PromptLookup(text).draft(LONGEST) == []


def test_shared_start() -> None:
    assert shared_start([1, 2, 3], [1, 2, 4]) == 2
    assert shared_start([], [1]) == 0
    assert shared_start([1], [1, 2]) == 1
