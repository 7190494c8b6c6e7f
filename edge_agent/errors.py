"""Errors say who must act. Anything else that is raised is our own bug."""

from __future__ import annotations


class EdgeAgentError(Exception):
    """A failure with a message for a person: what happened, to what, and what to do."""


class BadPayload(EdgeAgentError):
    """The sender must act: the message is counted, dead-lettered and acknowledged."""


class BadAnswer(EdgeAgentError):
    """The model answered with something unusable: retry, then publish the rules' answer."""


class Unavailable(EdgeAgentError):
    """The environment must recover: back off and try again."""


class BadConfig(EdgeAgentError):
    """The operator must act: the document is refused and the last good one stays."""


class IllegalTransition(EdgeAgentError):
    """A state machine was asked for a move that its table does not hold; nothing changed."""
