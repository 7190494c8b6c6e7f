"""Desired settings and models in, reported state out; undone by itself when not good."""
