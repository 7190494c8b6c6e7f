"""Measures the pipeline on labelled recordings: detection here, diagnosis beside it."""
