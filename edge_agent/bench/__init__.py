"""Benchmarks: what `edge-agent bench` runs."""
