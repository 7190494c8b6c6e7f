"""The demonstration: a broker, the real daemon, a machine that goes wrong, and a live view."""
