"""``Job`` → ``Diagnosis``: the rules rank, the model words, code checks."""
