"""Settings: one TOML file with a section per stage, checked before anything uses it."""

from edge_agent.config.load import load_settings, parse_settings
from edge_agent.config.settings import Settings

__all__ = ["Settings", "load_settings", "parse_settings"]
