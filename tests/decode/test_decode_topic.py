"""Topic templates against the matching rules of MQTT."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub

from edge_agent.decode.topic import TopicTemplate, TopicTree

WORD = st.sampled_from(["a", "b", "", "$x", "plant"])
LEVELS = st.lists(st.one_of(WORD, st.just("_")), min_size=1, max_size=4)
TEMPLATES = st.lists(
    st.tuples(LEVELS, st.booleans()).map(lambda one: "/".join([*one[0], *["#"] * one[1]])),
    min_size=1,
    max_size=6,
)


@given(TEMPLATES, st.lists(WORD, min_size=1, max_size=5))
def test_the_tree_finds_the_first_template_whose_filter_matches(
    texts: list[str], levels: list[str]
) -> None:
    templates = [TopicTemplate.parse(text) for text in texts]
    topic = "/".join(levels)
    matching = [
        number
        for number, template in enumerate(templates)
        if topic and topic_matches_sub(template.filter, topic)
    ]
    if topic:
        assert TopicTree(templates).first(levels) == min(matching, default=None)


def test_names_are_taken_from_their_levels() -> None:
    template = TopicTemplate.parse("plant/{site}/_/{equipment}/#")
    assert template.filter == "plant/+/+/+/#"
    assert template.captured(["plant", "n", "x", "pump", "a", "b"]) == {
        "site": "n",
        "equipment": "pump",
    }
