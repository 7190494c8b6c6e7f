"""What the agent writes to its log: form, repeats, secrets kept out."""
