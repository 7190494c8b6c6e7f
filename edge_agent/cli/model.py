"""``edge-agent model …``: which models there are, whether they are sound, what they will take."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_agent.errors import BadConfig

if TYPE_CHECKING:
    from edge_agent.inference.manifest import Manifest
    from edge_agent.inference.tuning import Trial, Tuning, Variant

app = typer.Typer(name="model", help="The models of this gateway.", no_args_is_help=True)

ModelsDir = Annotated[
    Path, typer.Option("--models-dir", help="Where added models lie.", envvar="EDGE_AGENT_MODELS")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
DEFAULT_DIR = Path("/var/lib/edge-agent/models")


@app.command("list")
def list_models(models_dir: ModelsDir = DEFAULT_DIR, as_json: Json = False) -> None:
    """Show the catalogue: built-in models, and those added here."""
    from edge_agent.inference.catalog import manifests

    rows = [_row(manifest, models_dir) for manifest in manifests(models_dir).values()]
    if as_json:
        typer.echo(json.dumps({"models": rows}))
        return
    _table(
        "Models",
        ["name", "title", "tier", "licence", "MB", "here"],
        [
            [
                row["name"],
                row["title"],
                row["tier"],
                row["licence"],
                str(round(row["size"] / 1e6)) if row["size"] else "?",
                "yes" if row["present"] else "no",
            ]
            for row in rows
        ],
    )


def _row(manifest: Manifest, models_dir: Path) -> dict[str, Any]:
    from edge_agent.inference.catalog import location

    try:
        path = location(manifest, models_dir)
        present = path.is_file()
    except BadConfig:
        path, present = None, False  # a package that is not installed
    return {
        **manifest.model_dump(mode="json"),
        "path": str(path) if path else None,
        "present": present,
    }


@app.command()
def add(
    source: Annotated[
        str, typer.Argument(help="Catalogue name, .gguf file, package:PACKAGE/FILE or https://…")
    ],
    name: Annotated[str | None, typer.Option(help="Name in the settings.")] = None,
    sha256: Annotated[str | None, typer.Option(help="Hash that the file must have.")] = None,
    licence: Annotated[str | None, typer.Option(help="Terms; default: the header's.")] = None,
    models_dir: ModelsDir = DEFAULT_DIR,
    as_json: Json = False,
) -> None:
    """Add a model; a download that broke off is resumed."""
    from edge_agent.inference.add import Wanted, add_model
    from edge_agent.inference.manifest import GATED_LICENCES

    with _download_bar(quiet=as_json) as progress:
        found = add_model(Wanted(source, name, sha256, licence), models_dir, progress)
    manifest = found.manifest
    gated = GATED_LICENCES.get(manifest.licence)
    if as_json:
        typer.echo(
            json.dumps({**manifest.model_dump(mode="json"), "path": str(found.path), "gate": gated})
        )
        return
    typer.echo(f"{manifest.name}: {found.path}, sha256 {manifest.sha256}")
    if gated:
        typer.echo(
            f"before it runs, accept its licence: {gated}. "
            f'Set inference.accepted_licences = ["{manifest.licence}"]'
        )


@app.command("rm")
def remove(name: str, models_dir: ModelsDir = DEFAULT_DIR, as_json: Json = False) -> None:
    """Delete a model that was added here."""
    from edge_agent.inference.add import remove_model

    removed = [str(path) for path in remove_model(name, models_dir)]
    typer.echo(json.dumps({"removed": removed}) if as_json else "\n".join(removed))


@contextmanager
def _download_bar(*, quiet: bool) -> Iterator[Callable[[int, int | None], None]]:
    if quiet:
        yield lambda _done, _total: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn
    from rich.progress import TransferSpeedColumn as Speed

    with Progress(BarColumn(), DownloadColumn(), Speed(), TimeRemainingColumn()) as bar:
        task = bar.add_task("", total=None, visible=False)
        yield lambda done, total: bar.update(task, completed=done, total=total, visible=True)


@app.command()
def verify(model: str, models_dir: ModelsDir = DEFAULT_DIR, as_json: Json = False) -> None:
    """Check a model's header, size and hash."""
    from edge_agent.inference.catalog import resolve
    from edge_agent.inference.catalog import verify as check

    found = resolve(model, models_dir)
    digest = check(found, models_dir)
    known = found.manifest.sha256 is not None
    if as_json:
        result = {"model": model, "path": str(found.path), "sha256": digest, "hash_known": known}
        typer.echo(json.dumps(result))
        return
    typer.echo(f"{model}: header sound, sha256 {digest}")
    typer.echo(
        "the hash is the manifest's" if known else "no hash is known for it; note the one above"
    )


@app.command()
def plan(
    model: Annotated[
        str | None, typer.Argument(help="Catalogue name or GGUF file; absent: the largest.")
    ] = None,
    context: Annotated[int, typer.Option(help="Context, tokens.")] = 4096,
    kv_type: Annotated[
        str, typer.Option(help="f16, q8_0 or auto: 8 bit where 16 would cut the context.")
    ] = "auto",
    memory_mb: Annotated[int, typer.Option(help="Limit, MB; 0: none.")] = 0,
    models_dir: ModelsDir = DEFAULT_DIR,
    as_json: Json = False,
) -> None:
    """Say what a model will take in memory and about how fast it will be, before it is loaded.

    Without a model, the largest of the catalogue that is here and fits is chosen, and the others
    are told with the reason. Exit codes: 0 one fits, 78 none does.
    """
    from edge_agent.cli.model_plan import foreseen, ladder, show_plan

    limit = memory_mb or float("inf")
    others: list[dict[str, str]] = []
    if model is None:
        model, others = ladder(models_dir, context, limit)
    document = foreseen(model, models_dir, context, kv_type, limit)
    if as_json:
        typer.echo(json.dumps({**document, "others": others}))
    else:
        show_plan(document, others)


@app.command()
def tune(
    model: str,
    models_dir: ModelsDir = DEFAULT_DIR,
    kl: Annotated[float, typer.Option(help="Largest divergence from the original, nats.")] = 0.05,
    agreement: Annotated[float, typer.Option(help="Least share of equal best tokens.")] = 0.9,
    as_json: Json = False,
) -> None:
    """Find the fastest way to run a model here whose answers stay close to the original's."""
    import os

    from edge_agent.inference.catalog import resolve
    from edge_agent.inference.tune import Limits
    from edge_agent.inference.tune import tune as search

    trials: list[tuple[Variant, Trial | str]] = []
    threads = len(os.sched_getaffinity(0))
    with _status("measuring the original", quiet=as_json) as say:

        def tried(variant: Variant, outcome: Trial | str) -> None:
            trials.append((variant, outcome))
            say(f"{len(trials)} variants measured, last: {_words(variant)}")

        tuning = search(
            resolve(model, models_dir),
            models_dir,
            threads=threads,
            limits=Limits(kl, agreement),
            tried=tried,
        )
    if as_json:
        rows = [
            {"variant": v.model_dump(mode="json"), "failed": o}
            if isinstance(o, str)
            else o.model_dump(mode="json")
            for v, o in trials
        ]
        typer.echo(json.dumps({**tuning.model_dump(mode="json"), "trials": rows}))
        return
    columns = ["variant", "prefill t/s", "decode ms", "KL", "agreement", ""]
    _table(f"{model} on this machine", columns, [_trial_row(tuning, v, o) for v, o in trials])


def _words(variant: Variant) -> str:
    flash = {None: "", True: ", flash", False: ", no flash"}[variant.flash_attention]
    return (
        f"{variant.quantization}, {variant.threads} threads, batch {variant.batch}, "
        f"KV {variant.kv_type}{flash}"
    )


def _trial_row(tuning: Tuning, variant: Variant, outcome: Trial | str) -> list[str]:
    if isinstance(outcome, str):
        return [_words(variant), "", "", "", "", f"did not run: {outcome}"]
    return [
        _words(variant),
        f"{outcome.prefill_tokens_per_second:.0f}",
        f"{outcome.decode_ms:.1f}",
        f"{outcome.kl:.4f}",
        f"{outcome.agreement:.3f}",
        "chosen" if outcome == tuning.chosen else "",
    ]


@contextmanager
def _status(text: str, *, quiet: bool) -> Iterator[Callable[[str], None]]:
    if quiet:
        yield lambda _text: None
        return
    from rich.console import Console

    with Console(stderr=True).status(text) as status:
        yield status.update


def _table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title)
    for name in columns:
        table.add_column(name, justify="right" if name == "MB" else "left")
    for row in rows:
        table.add_row(*row)
    Console().print(table)
