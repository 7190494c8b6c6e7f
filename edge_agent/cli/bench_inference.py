"""``edge-agent bench inference``: the engine next to what a user would pick instead."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

MODELS_DIR = Path("/var/lib/edge-agent/models")


def inference(
    model: Annotated[str, typer.Option(help="Catalogue name or GGUF file.")] = "smollm2-135m",
    peers: Annotated[bool, typer.Option("--peers", help="Ask other engines, too.")] = False,
    peer_python: Annotated[
        str | None,
        typer.Option(
            help="Python that has xllamacpp; default: this one.", envvar="XLLAMACPP_PYTHON"
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Warm questions to each engine.")] = 7,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each engine.")] = 2,
    greedy: Annotated[
        bool, typer.Option("--greedy", help="Always the most probable token; answers repeat.")
    ] = False,
    context: Annotated[int, typer.Option(min=512, help="Context of each engine, tokens.")] = 4096,
    models_dir: Annotated[Path, typer.Option(help="Where added models lie.")] = MODELS_DIR,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Time a diagnosis, cold and warm, alone and sixteen at once."""
    from edge_agent.bench.inference import PEERS, run_bench
    from edge_agent.inference.catalog import resolve
    from edge_agent.inference.tuning import read_tuning

    found = resolve(model, models_dir)
    tuning = read_tuning(found.manifest.name, models_dir)
    with _progress(quiet=as_json) as say:
        result = run_bench(
            found.path,
            tuned=models_dir / tuning.file if tuning and tuning.file else None,
            peers=PEERS if peers else (),
            python=peer_python,
            rounds=rounds,
            threads=threads,
            context=context,
            greedy=greedy,
            say=say,
        )
    if as_json:
        typer.echo(json.dumps(result))
    else:
        _inference_table(result)


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[str], None]]:
    """A line that says what is being measured; silent for machines."""
    if quiet:
        yield lambda _text: None
        return
    from rich.console import Console

    with Console(stderr=True).status("starting") as status:
        yield status.update


def _inference_table(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    engines = {"edge-agent": result}
    if "tuned" in result:
        engines["edge-agent, tuned"] = result["tuned"]
    engines |= result["peers"]
    table = Table(title=f"{result['model']}, medians of {result['rounds']} rounds")
    table.add_column("figure")
    for name in engines:
        table.add_column(name, justify="right")
    keys = [key for key, value in result.items() if isinstance(value, float)]
    keys += [key for peer in result["peers"].values() for key in peer if key not in keys]
    for key in dict.fromkeys(keys):
        table.add_row(key, *(str(engine.get(key, "")) for engine in engines.values()))
    Console().print(table)
