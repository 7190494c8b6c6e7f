"""Measures the pipeline on labelled recordings, row by row and without looking ahead."""
