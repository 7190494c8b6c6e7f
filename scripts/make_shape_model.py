#!/usr/bin/env python3
"""Write a GGUF of a real model's shape with RANDOM weights; see --help."""

from __future__ import annotations

import argparse
from pathlib import Path

from edge_agent.inference.catalog import resolve
from edge_agent.inference.shape_model import SHAPES, make_shape_model


def main() -> None:
    """Parse the command line and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape", choices=sorted(SHAPES))
    parser.add_argument("file", type=Path)
    parser.add_argument("--type", default="Q4_K", help="F32, F16, Q4_0, Q4_1, Q8_0, Q4_K or Q6_K")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--tokenizer",
        default="smollm2-135m",
        help="model whose vocabulary is taken and padded; 'small' for a few hundred tokens",
    )
    options = parser.parse_args()
    tokenizer = None
    if options.tokenizer != "small":
        tokenizer = resolve(options.tokenizer, Path()).path
    shape = SHAPES[options.shape]
    make_shape_model(options.file, shape, options.type, tokenizer=tokenizer, seed=options.seed)
    size = options.file.stat().st_size / 1e6
    print(f"{options.file}: {options.shape}, {options.type}, random weights, {size:.0f} MB")  # noqa: T201


if __name__ == "__main__":
    main()
