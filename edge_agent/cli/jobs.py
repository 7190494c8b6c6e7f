"""``edge-agent jobs …``: the diagnoses that wait, ran, or were given up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_agent.cli.run import ConfigOption
from edge_agent.domain.job import JobState

if TYPE_CHECKING:
    from edge_agent.diagnose.remaking import Remade
    from edge_agent.domain.audit import DiagnosisRecord
    from edge_agent.domain.job import Job
    from edge_agent.store.database import Store

app = typer.Typer(name="jobs", help="The queue of diagnoses.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
JobId = Annotated[str, typer.Argument(help="As `jobs list` shows it.")]
SHOWN_CHARS = 300
DEFAULT = Path("/etc/edge-agent/edge-agent.toml")


@app.command("list")
def list_jobs(
    config: ConfigOption = DEFAULT,
    state: Annotated[JobState | None, typer.Option(help="Only those in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    as_json: Json = False,
) -> None:
    """Show jobs, newest first; the agent may run meanwhile."""
    store = _view(config)
    try:
        jobs = store.jobs.list(limit, state)
        counts = {str(key): value for key, value in store.jobs.counts().items()}
    finally:
        store.close()
    if as_json:
        typer.echo(json.dumps({"counts": counts, "jobs": [_row(job) for job in jobs]}))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("job", "machine", "state", "tries", "created", "last error"):
        table.add_column(heading, overflow="fold")
    for job in jobs:
        row = _row(job)
        table.add_row(
            job.id,
            job.equipment,
            str(job.state),
            str(job.attempts),
            row["created_at"],
            job.last_error or "",
        )
    Console().print(table)
    typer.echo(", ".join(f"{value} {key}" for key, value in counts.items() if value) or "no jobs")


@app.command()
def show(job_id: JobId, config: ConfigOption = DEFAULT, as_json: Json = False) -> None:
    """Show one job: the finding that it is about and, once it is done, all that its diagnosis was
    made from: card, prompt with its seed, the model's answer, and what was published."""
    job, record = _kept(config, job_id)
    document = job.model_dump(mode="json")
    document["record"] = record.model_dump(mode="json") if record else None
    if as_json:
        typer.echo(json.dumps(document))
        return
    from rich.console import Console

    Console().print_json(json.dumps(document))


@app.command()
def replay(
    job_id: JobId,
    config: ConfigOption = DEFAULT,
    recorded_answer: Annotated[
        bool, typer.Option(help="Ask no model; take the answer that was recorded.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a diagnosis again from its record: window, card, prompt, model, seed and rules. The
    agent may run.

    Exit codes: 0 the result is the published one, 1 it differs, or nothing is recorded.
    """
    from edge_agent.config import load_settings
    from edge_agent.oneshot import again

    _, record = _kept(config, job_id)
    if record is None:
        typer.echo(
            f"edge-agent: no diagnosis of {job_id!r} is recorded: it is not made yet, or made by an"
            " older version, or its record was given up for room",
            err=True,
        )
        raise typer.Exit(1)
    remade = again(record, load_settings(config), recorded_answer=recorded_answer)
    if as_json:
        typer.echo(remade.model_dump_json())
    else:
        _tell(remade)
    raise typer.Exit(0 if remade.identical else 1)


def _tell(remade: Remade) -> None:
    typer.echo(f"{remade.diagnosis_id}: {'identical' if remade.identical else 'it differs'}")
    if not remade.asked_model:
        typer.echo(f"the model was not asked again: {remade.not_asked}")
    for heading, listed in (("changed since", remade.changed), ("differs", remade.differences)):
        for one in listed:
            typer.echo(
                f"{heading}: {one.what}\n  then  {_short(one.then)}\n  now   {_short(one.now)}"
            )


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN_CHARS else f"{text[: SHOWN_CHARS - 1]}…"


def _kept(config: Path, job_id: str) -> tuple[Job, DiagnosisRecord | None]:
    """The job and its record; ends the command where there is no such job."""
    store = _view(config)
    try:
        job, record = store.jobs.get(job_id), store.records.get(job_id)
    finally:
        store.close()
    if job is None:
        typer.echo(f"edge-agent: no job {job_id!r}; `edge-agent jobs list` shows them", err=True)
        raise typer.Exit(1)
    return job, record


@app.command()
def retry(job_id: JobId, config: ConfigOption = DEFAULT, as_json: Json = False) -> None:
    """Queue a quarantined or expired job again, from its first attempt; the agent may run."""
    _change(config, "retry", job_id)
    _say({"job": job_id, "state": "queued"}, f"{job_id} is queued again", as_json=as_json)


@app.command()
def drop(job_id: JobId, config: ConfigOption = DEFAULT, as_json: Json = False) -> None:
    """Delete a job that is not running; the agent may run."""
    _change(config, "drop", job_id)
    _say({"job": job_id, "state": "dropped"}, f"{job_id} is gone", as_json=as_json)


def _say(document: dict[str, str], text: str, *, as_json: bool) -> None:
    typer.echo(json.dumps(document) if as_json else text)


def _view(config: Path) -> Store:
    from edge_agent.config import load_settings
    from edge_agent.store.database import Store

    settings = load_settings(config).store
    return Store.view(settings.state_dir, settings)


def _change(config: Path, action: str, job_id: str) -> None:
    """SQLite must have one writer only: a running agent makes the change itself."""
    from edge_agent.config import load_settings
    from edge_agent.doorway import ask
    from edge_agent.store.database import Store
    from edge_agent.store.statelock import lock_owner

    settings = load_settings(config).store
    if lock_owner(settings.state_dir) is not None:
        ask(settings.state_dir, {"jobs": action, "id": job_id})
        return
    store = Store.open(settings.state_dir, settings)
    try:
        (store.jobs.release if action == "retry" else store.jobs.drop)(job_id)
    finally:
        store.close()


def _row(job: Job) -> dict[str, Any]:
    from edge_agent.publish.message import rfc3339

    return {
        "id": job.id,
        "incident_id": job.incident_id,
        "equipment": job.equipment,
        "state": str(job.state),
        "priority": job.priority,
        "attempts": job.attempts,
        "created_at": rfc3339(job.created_at),
        "last_error": job.last_error,
    }
