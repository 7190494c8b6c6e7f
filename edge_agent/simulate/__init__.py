"""A simulated machine with named faults, for demonstrations and tests. Pure: no I/O, no clock."""
