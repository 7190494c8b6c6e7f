"""The fleet manager's side of ``edge-agent config``: push in waves, and go back."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_agent.cli.broker_options import AsJson, BrokerFile, Host, Port, Prefix, connect
from edge_agent.cli.waves import (
    TROUBLE,
    AgentOutcome,
    members,
    next_revision,
    outcome_of,
    plan_waves,
)
from edge_agent.errors import BadConfig

if TYPE_CHECKING:
    from edge_agent.cli.fleet_link import FleetLink

Agents = Annotated[
    list[str] | None, typer.Option("--agent", "-a", help="A gateway; repeat for more.")
]
Group = Annotated[str | None, typer.Option(help="All gateways of this group.")]
Key = Annotated[Path | None, typer.Option(help="Private key that signs; absent: unsigned.")]
KeyName = Annotated[str, typer.Option(help="Its name at the gateways; default: the file's.")]
Canary = Annotated[str, typer.Option(help="First wave: how many (1, 10%, all).")]
Then = Annotated[
    list[str] | None,
    typer.Option("--then", help="Further waves: how many shall have it by then; repeat."),
]
StopOn = Annotated[
    list[str] | None, typer.Option(help=f"States that halt the push; default: {', '.join(TROUBLE)}")
]
Revision = Annotated[int | None, typer.Option(help="Default: above all seen so far.")]
Timeout = Annotated[float, typer.Option(help="Longest wait for one wave, seconds.")]


Body = Callable[[str], dict[str, Any]]
"""Gateway → what is pushed to it, without ``revision``."""


@dataclass(frozen=True, slots=True)
class Order:
    """The options of every push: in which waves, signed by whom, when to halt."""

    canary: str
    then: Sequence[str] | None
    key: Path | None
    key_name: str
    stop_on: Sequence[str] | None
    timeout_s: float
    as_json: bool


@dataclass(frozen=True, slots=True)
class Push:
    """What is pushed, to whom in which order, and when to halt."""

    waves: list[list[str]]
    body_for: Body
    seal: Callable[[bytes], bytes]
    stop_on: tuple[str, ...]
    timeout_s: float
    what: str = "config"
    """``config``, ``model`` or ``adapter``."""


def push(
    file: Annotated[
        Path | None, typer.Argument(help="Settings, TOML or JSON: a patch, or with --whole all.")
    ] = None,
    whole: Annotated[bool, typer.Option(help="FILE is the whole settings, not a patch.")] = False,
    trust: Annotated[Path | None, typer.Option(help="New trust anchors (TOML).")] = None,
    agent: Agents = None,
    group: Group = None,
    revision: Revision = None,
    expires_s: Annotated[float | None, typer.Option(help="Valid this long, seconds.")] = None,
    key: Key = None,
    key_name: KeyName = "",
    canary: Canary = "all",
    then: Then = None,
    stop_on: StopOn = None,
    timeout_s: Timeout = 600.0,
    config: BrokerFile = None,
    host: Host = "localhost",
    port: Port = 1883,
    prefix: Prefix = "edge",
    as_json: AsJson = False,
) -> None:
    """Push settings to gateways, in waves, and halt where one of them rolls back.

    Exit code 1 when the push was halted.
    """
    from edge_agent.rollout.signature import read_anchors

    content: dict[str, Any] = {}
    if file is not None:
        content["settings" if whole else "patch"] = read_document(file)
    if trust is not None:
        content["trust"] = read_anchors(trust).model_dump(mode="json")["keys"]
    if not content:
        raise BadConfig("nothing to push: name a FILE, or --trust")
    if expires_s is not None:
        content["expires"] = _moment(time.time() + expires_s)
    with connect(config, host, port, prefix) as link:
        link.settle()
        agents = targets(link, agent, group)

        def body_for(one: str) -> dict[str, Any]:
            return {**_addressee(one, group), **content}

        order = Order(canary, then, key, key_name, stop_on, timeout_s, as_json)
        push_in_waves(link, agents, body_for, order, revision)


def push_model(
    manifest: Annotated[
        Path | None, typer.Argument(help="Manifest (TOML or JSON): name, source, sha256, size …")
    ] = None,
    restore: Annotated[bool, typer.Option(help="Back to the model before.")] = False,
    adapter: Annotated[
        bool, typer.Option(help="With --restore: back to the adapter before.")
    ] = False,
    agent: Agents = None,
    group: Group = None,
    revision: Revision = None,
    key: Key = None,
    key_name: KeyName = "",
    canary: Canary = "all",
    then: Then = None,
    stop_on: StopOn = None,
    timeout_s: Timeout = 3600.0,
    config: BrokerFile = None,
    host: Host = "localhost",
    port: Port = 1883,
    prefix: Prefix = "edge",
    as_json: AsJson = False,
) -> None:
    """Push a model to gateways, in waves, and halt where one of them takes it back.

    A manifest with base_sha256 and task is an adapter; to take one back: --restore --adapter.
    """
    from edge_agent.config.load import validate
    from edge_agent.rollout.model_document import ModelManifest

    if (manifest is None) != restore:
        raise BadConfig("name a manifest, or --restore")
    content: dict[str, Any] = {"restore": True}
    if manifest is not None:
        checked = validate(ModelManifest, read_document(manifest), where=str(manifest))
        content = {"model": checked.model_dump(mode="json")}
        adapter = checked.is_adapter
    kind = "adapter" if adapter else "model"
    with connect(config, host, port, prefix) as link:
        link.settle()
        agents = targets(link, agent, group)

        def body_for(one: str) -> dict[str, Any]:
            return {"kind": kind, **_addressee(one, group), **content}

        order = Order(canary, then, key, key_name, stop_on, timeout_s, as_json)
        push_in_waves(link, agents, body_for, order, revision, kind)


def rollback(
    agent: Agents = None,
    group: Group = None,
    to: Annotated[
        int | None, typer.Option(help="Revision to restore; 0: the gateway's file alone.")
    ] = None,
    key: Key = None,
    key_name: KeyName = "",
    canary: Canary = "all",
    then: Then = None,
    stop_on: StopOn = None,
    timeout_s: Timeout = 600.0,
    config: BrokerFile = None,
    host: Host = "localhost",
    port: Port = 1883,
    prefix: Prefix = "edge",
    as_json: AsJson = False,
) -> None:
    """Go back to the settings before the present ones, by a new revision."""
    with connect(config, host, port, prefix) as link:
        link.settle()
        agents = targets(link, agent, group)
        reports = link.reports

        def body_for(one: str) -> dict[str, Any]:
            kept = reports.get(one, {}).get("restorable", [0])
            earlier = to if to is not None else kept[min(1, len(kept) - 1)]
            return {"agent": one, "restore": earlier}

        order = Order(canary, then, key, key_name, stop_on, timeout_s, as_json)
        push_in_waves(link, agents, body_for, order)


def push_in_waves(
    link: FleetLink,
    agents: Sequence[str],
    body_for: Body,
    order: Order,
    revision: int | None = None,
    what: str = "config",
) -> None:
    """Push to ``agents`` as ``order`` says and tell how it ended; exit code 1 where it halted.

    ``revision``: absent, the one above all that these gateways have reported.
    """
    reports = _reports(link, what)
    number = revision or next_revision(reports.get(one, {}) for one in agents)
    plan = Push(
        plan_waves(agents, [order.canary, *(order.then or [])]),
        lambda one: {**body_for(one), "revision": number},
        sealer(order.key, order.key_name),
        _stops(order.stop_on),
        order.timeout_s,
        what,
    )
    outcomes = run_push(link, plan, _narrator(order.as_json))
    finish(number, agents, outcomes, as_json=order.as_json)


def read_document(path: Path) -> dict[str, Any]:
    """A JSON or TOML file's tables; JSON alone can say null, which a patch removes by."""
    from edge_agent.config.load import read_toml
    from edge_agent.rollout.envelope import read_object

    if path.suffix != ".json":
        return read_toml(path)
    try:
        return read_object(path.read_bytes(), str(path))
    except OSError as error:
        raise BadConfig(f"{path}: cannot be read: {error.strerror}") from error


def sealer(key: Path | None, name: str) -> Callable[[bytes], bytes]:
    """What turns a body into the payload: signed with ``key``, bare without."""
    from edge_agent.rollout.envelope import close_envelope
    from edge_agent.rollout.signature import read_private_key, sign

    if key is None:
        typer.secho("unsigned: only gateways without trust anchors take it", err=True, fg="yellow")
        return lambda body: body
    private = read_private_key(key)
    return lambda body: close_envelope(sign(body, private, name or key.stem))


def targets(link: FleetLink, agents: Sequence[str] | None, group: str | None) -> list[str]:
    """The gateways meant by the options. Raises ``BadConfig`` where there are none."""
    if agents and group is not None:
        raise BadConfig("name gateways or a group, not both")
    chosen = list(dict.fromkeys(agents)) if agents else members(link.reports, group)
    if not agents and group is None:
        raise BadConfig("whom for? name --agent or --group")
    if not chosen:
        raise BadConfig(f"no gateway of the group {group!r} has reported; is the prefix right?")
    return chosen


def run_push(link: FleetLink, plan: Push, say: Callable[[str], None]) -> list[AgentOutcome]:
    """Wave by wave; a trouble named in ``stop_on`` ends it after its wave."""
    outcomes: list[AgentOutcome] = []
    for number, wave in enumerate(plan.waves, start=1):
        say(f"wave {number} of {len(plan.waves)}: {', '.join(wave)}")
        sent: dict[str, str] = {}
        for agent in wave:
            payload = plan.seal(json.dumps(plan.body_for(agent), ensure_ascii=False).encode())
            sent[agent] = hashlib.sha256(payload).hexdigest()
            link.desire(agent, payload, plan.what)

        def through(sent: dict[str, str] = sent) -> bool:
            reports = _reports(link, plan.what)
            return all(outcome_of(reports.get(one), what) for one, what in sent.items())

        link.wait_until(through, plan.timeout_s)
        for agent, document in sent.items():
            silent = ("silent", f"nothing final within {plan.timeout_s:.0f} s")
            found = _reports(link, plan.what).get(agent)
            state, reason = outcome_of(found, document) or silent
            outcomes.append(AgentOutcome(agent, number, state, reason))
            say(f"  {agent}: {state}{': ' if reason else ''}{reason}")
        if any(one.wave == number and one.state in plan.stop_on for one in outcomes):
            left = [agent for later in plan.waves[number:] for agent in later]
            outcomes += [AgentOutcome(agent, 0, "untouched") for agent in left]
            break
    return outcomes


def finish(
    revision: int, agents: Sequence[str], outcomes: list[AgentOutcome], *, as_json: bool
) -> None:
    """Say how it ended; exit code 1 where it was halted."""
    counts = {one.state: 0 for one in outcomes}
    for one in outcomes:
        counts[one.state] += 1
    halted = any(one.state in TROUBLE for one in outcomes)
    if as_json:
        rows = [asdict(one) for one in outcomes]
        result = {"revision": revision, "halted": halted, "counts": counts, "agents": rows}
        typer.echo(json.dumps(result))
    else:
        found = ", ".join(f"{count} {state}" for state, count in counts.items())
        whom = "1 gateway" if len(agents) == 1 else f"{len(agents)} gateways"
        typer.echo(f"revision {revision}, {whom}: {found}")
    if halted:
        raise typer.Exit(1)


def _reports(link: FleetLink, what: str) -> dict[str, dict[str, Any]]:
    return {"model": link.models, "adapter": link.adapters}.get(what, link.reports)


def _addressee(agent: str, group: str | None) -> dict[str, str]:
    return {"group": group} if group is not None else {"agent": agent}


def _stops(stop_on: Sequence[str] | None) -> tuple[str, ...]:
    chosen = tuple(stop_on or TROUBLE)
    for one in chosen:
        if one not in TROUBLE:
            raise BadConfig(f"--stop-on {one}: one of {', '.join(TROUBLE)}")
    return chosen


def _narrator(as_json: bool) -> Callable[[str], None]:
    return lambda text: typer.echo(text, err=as_json)


def _moment(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
