"""``docs/edge-agent.1``: the man page, written from the Typer tree."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import typer.main

from edge_agent import __version__

METAVARS = {Path: "FILE", str: "TEXT", int: "N", float: "X"}
HEAD = """\
.\\" Written by scripts/make_docs.py; edit the program, not this file.
.TH EDGE-AGENT 1 "" "edge-agent {version}" "User Commands"
.SH NAME
edge-agent \\- diagnostic agent for factory gateways
.SH SYNOPSIS
.B edge-agent
.I COMMAND
.RI [ OPTIONS ]
.SH DESCRIPTION
Subscribes to equipment telemetry over MQTT, learns each machine's normal behaviour, notices when a
machine leaves it, has a local language model say which fault it is and why, and publishes a result
in which code has checked every claim. It keeps power, memory and heat of the gateway within
budgets.
.PP
Commands that read settings take them from
.IR /etc/edge-agent/edge-agent.toml ,
from
.B \\-\\-config
.I FILE
or from
.BR EDGE_AGENT_CONFIG .
With
.B \\-\\-json
a command prints exactly one JSON object.
.SH COMMANDS
"""
TAIL = """\
.SH EXIT STATUS
.TP
.B 0
All is well.
.TP
.B 1
A problem was found, or an internal failure.
.TP
.B 2
Wrong usage.
.TP
.B 78
The settings are wrong.
.SH FILES
.TP
.I /etc/edge-agent/edge-agent.toml
Settings.
.TP
.I /etc/edge-agent/equipment/
Equipment cards.
.TP
.I /var/lib/edge-agent/
Everything that outlives a restart.
.SH SEE ALSO
.BR mosquitto (8),
.BR systemd (1),
.BR journalctl (1)
"""


def page() -> str:
    """The whole page, in man(7)."""
    from edge_agent.cli import app

    root: Any = typer.main.get_command(app)
    return HEAD.format(version=__version__) + "".join(_commands(root, "edge-agent")) + TAIL


def _commands(group: Any, path: str) -> Iterator[str]:  # noqa: ANN401 - Typer hides it
    for name, command in group.commands.items():
        full = f"{path} {name}"
        if getattr(command, "commands", None):
            yield from _commands(command, full)
            continue
        yield f'.SS "{_roff(full)}"\n{_paragraphs(command.help or "")}'
        for parameter in command.params:
            yield _parameter(parameter)


def _parameter(parameter: Any) -> str:  # noqa: ANN401 - Typer hides it
    text = _roff(_plain(getattr(parameter, "help", None) or ""))
    if parameter.param_type_name == "argument":
        names = f"\\fI{_roff(parameter.name.upper())}\\fR"
    else:
        flags = [*parameter.opts, *parameter.secondary_opts]
        names = ", ".join(f"\\fB{_roff(one)}\\fR" for one in flags)
        if not parameter.is_flag:
            names += f" \\fI{_roff(_metavar(parameter))}\\fR"
    return f".TP\n{names}\n{text or 'See above.'}\n"


def _metavar(parameter: Any) -> str:  # noqa: ANN401 - Typer hides it
    annotation = parameter.type_descriptor.annotation
    choices = typing.get_args(annotation) if typing.get_origin(annotation) is Literal else ()
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        choices = tuple(one.value for one in annotation)
    if parameter.metavar or not choices:
        return str(parameter.metavar or METAVARS.get(annotation, "VALUE"))
    return "|".join(map(str, choices))


def _paragraphs(text: str) -> str:
    """Help text: paragraphs, and lists that begin with a dash."""
    lines: list[str] = []
    for paragraph in re.split(r"\n\s*\n", _plain(text).strip()):
        items = re.split(r"(?m)^\s*- ", paragraph)
        lines.append(".PP" if lines else "")
        if items[0].strip():
            lines.append(_roff(" ".join(items[0].split())))
        for item in items[1:]:
            lines += [".br", _roff("- " + " ".join(item.split()))]
    return "\n".join(line for line in lines if line) + "\n"


def _plain(text: str) -> str:
    return text.replace("\b", "").replace("\f", "").replace("``", "").replace("`", "")


def _roff(text: str) -> str:
    """Text that roff shows as it is: no escape, no request at the start of a line."""
    safe = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"(?m)^([.'])", r"\\&\1", safe)
