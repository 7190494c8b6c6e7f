"""The settings in effect: the file's, with what was pushed and confirmed over them."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from pydantic import ValidationError

from edge_agent.config.load import parse_settings, read_toml, resolve_paths
from edge_agent.config.settings import Settings
from edge_agent.errors import BadConfig, EdgeAgentError
from edge_agent.preflight.line import Subject
from edge_agent.rollout.decide import Rollout
from edge_agent.rollout.document import Content, compose
from edge_agent.store.database import Store

CONFIG = "config"
"""The kind under which the store keeps the roll-out of settings."""


def subject(path: Path) -> Subject:
    """What the agent of the settings file ``path`` runs with. Raises ``BadConfig`` if the file
    is wrong; a store that cannot be read, or pushed settings that no longer fit the file, leave
    the file's alone, and ``origin`` says so."""
    document = read_toml(path)
    base = path.resolve().parent
    own = resolve_paths(parse_settings(document, where="settings"), base)
    confirmed, origin = _confirmed(own)
    if confirmed is None:
        return Subject(path, own, origin)
    try:
        settings = parse_settings(compose(document, confirmed), where="pushed settings")
    except BadConfig as error:
        return Subject(path, own, f"the file alone; the pushed revision no longer fits: {error}")
    return Subject(path, resolve_paths(settings, base), origin)


def _confirmed(own: Settings) -> tuple[Content | None, str]:
    """What was pushed and confirmed, and where the settings come from in words."""
    if not own.rollout.remote:
        return None, "the file alone (rollout.remote = false)"
    try:
        with closing(Store.view(own.store.state_dir, own.store)) as store:
            kept = store.generations.load(CONFIG)
        confirmed = Rollout.model_validate_json(kept).confirmed if kept else None
    except ValidationError:
        return None, "the file alone; what was pushed can't be read"
    except (EdgeAgentError, OSError):
        return None, "the file; there is no state that this user could read"
    if confirmed is None:
        return None, "the file; nothing that was pushed is in effect"
    return confirmed, f"the file and revision {confirmed.revision}"
