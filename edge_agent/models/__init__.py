"""Which model answers: the switch, the roll-outs that bring others, and who may ask."""
