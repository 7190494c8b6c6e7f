"""``edge-agent config``: look at settings, check them, sign them; ``fleet`` has the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from edge_agent.cli import fleet, fleet_push
from edge_agent.cli.broker_options import AsJson
from edge_agent.errors import BadConfig

app = typer.Typer(name="config", help="Settings: look, check, sign, push.", no_args_is_help=True)
for command in (
    fleet_push.push,
    fleet_push.rollback,
    fleet.status,
    fleet.watch,
    fleet.diff,
):
    app.command()(command)
app.command("push-model")(fleet_push.push_model)

DEFAULT_FILE = Path("/etc/edge-agent/edge-agent.toml")
ConfigFile = Annotated[
    Path, typer.Option("--config", "-c", envvar="EDGE_AGENT_CONFIG", help="Settings file (TOML).")
]


def emit(document: dict[str, Any]) -> None:
    """Print ``document`` as the one JSON object of a ``--json`` command."""
    typer.echo(json.dumps(document, ensure_ascii=False))


@app.command()
def show(config: ConfigFile = DEFAULT_FILE, as_json: AsJson = False) -> None:
    """Print the effective settings of a file: its own keys and all defaults, secrets hidden."""
    from edge_agent.config import load_settings
    from edge_agent.rollout.document import PINNED_KEYS, RESTART_KEYS, fingerprint, shown

    settings = load_settings(config)
    document = {
        "file": str(config),
        "hash": fingerprint(settings),
        "settings": shown(settings),
        "restart_keys": list(RESTART_KEYS),
        "local_keys": list(PINNED_KEYS),
    }
    if as_json:
        emit(document)
        return
    typer.echo(f"# {config}, with all defaults; hash {document['hash']}")
    typer.echo(as_toml(shown(settings)))


@app.command()
def validate(
    file: Annotated[Path, typer.Argument(help="Settings file (TOML) to check.")],
    as_json: AsJson = False,
) -> None:
    """Check a settings file. Exit code 78 names each bad key, what was found, what may be."""
    from edge_agent.config import load_settings
    from edge_agent.rollout.document import fingerprint

    try:
        settings = load_settings(file)
    except BadConfig as error:
        if not as_json:
            raise
        emit({"file": str(file), "ok": False, "errors": str(error).splitlines()})
        raise typer.Exit(78) from None
    if as_json:
        emit({"file": str(file), "ok": True, "errors": [], "hash": fingerprint(settings)})
        return
    typer.echo(f"{file}: valid")


@app.command()
def schema() -> None:
    """Print the JSON Schema of the settings."""
    from edge_agent.rollout.report import settings_schema_text

    typer.echo(settings_schema_text())


@app.command()
def reference() -> None:
    """Print a settings file with every key, its meaning and its default."""
    from edge_agent.config.reference import annotated_toml

    typer.echo(annotated_toml(), nl=False)


@app.command()
def keygen(
    name: Annotated[str, typer.Argument(help="Name of the key, such as fleet-2026.")],
    out: Annotated[Path, typer.Option(help="Folder for NAME.pem and NAME.toml.")] = Path(),
    as_json: AsJson = False,
) -> None:
    """Make a signing key: NAME.pem stays with you, NAME.toml goes to the gateways."""
    from pydantic import TypeAdapter, ValidationError

    from edge_agent.rollout.signature import (
        KeyName,
        generate_key,
        public_text,
        write_private_key,
    )

    try:
        TypeAdapter(KeyName).validate_python(name)
    except ValidationError:
        raise BadConfig(f"{name!r}: 1 to 64 letters, digits and _ . - make a key's name") from None
    key = generate_key()
    private, anchors = out / f"{name}.pem", out / f"{name}.toml"
    write_private_key(key, private)
    anchors.write_text(f'[keys."{name}"]\npublic = "{public_text(key)}"\n', encoding="utf-8")
    if as_json:
        emit({"key": name, "private": str(private), "anchors": str(anchors)})
        return
    typer.echo(f"{private}: private key, keep it off the gateways")
    typer.echo(f"{anchors}: trust anchor; name it in rollout.trust_anchors of the gateways")


@app.command()
def sign(
    document: Annotated[Path, typer.Argument(help="JSON body, or TOML settings or patch.")],
    key: Annotated[Path, typer.Option(help="Private key (NAME.pem) made by keygen.")],
    out: Annotated[Path, typer.Option(help="Where the envelope is written.")],
    key_name: Annotated[str, typer.Option(help="Name at the gateways; default: the file's.")] = "",
) -> None:
    """Sign the body of a configuration document; `config push` does this on the way."""
    from edge_agent.rollout.document import read_desired
    from edge_agent.rollout.envelope import Envelope, close_envelope
    from edge_agent.rollout.signature import read_private_key
    from edge_agent.rollout.signature import sign as sign_body

    body = read_bytes(document)
    read_desired(Envelope(body))
    envelope = sign_body(body, read_private_key(key), key_name or key.stem)
    out.write_bytes(close_envelope(envelope))
    typer.echo(f"{out}: signed as {key_name or key.stem}")


def read_bytes(path: Path) -> bytes:
    """The bytes of ``path``. Raises ``BadConfig``."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadConfig(f"{path}: cannot be read: {error.strerror}") from error


def as_toml(document: dict[str, Any]) -> str:
    """Settings as TOML, for people: a table per section; absent keys as comments."""
    from edge_agent.config.toml_text import key, value

    lines: list[str] = []

    def table(path: str, node: dict[str, Any], *, array: bool = False) -> None:
        nested = {name: one for name, one in node.items() if isinstance(one, dict) and one}
        lists = {name: one for name, one in node.items() if _is_tables(one)}
        lines.extend(["", f"[[{path}]]" if array else f"[{path}]"] if path else [])
        for name, one in node.items():
            if name in nested or name in lists:
                continue
            stands = f"# {key(name)} is not set" if one is None else f"{key(name)} = {value(one)}"
            lines.append(stands)
        start = f"{path}." if path else ""
        for name, one in nested.items():
            table(start + key(name), one)
        for name, parts in lists.items():
            for part in parts:
                table(start + key(name), part, array=True)

    table("", document)
    return "\n".join(lines)


def _is_tables(found: object) -> bool:
    return isinstance(found, list) and bool(found) and all(isinstance(one, dict) for one in found)
