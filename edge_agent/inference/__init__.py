"""Prompt → tokens: the model's catalogue, plan, engine and worker process."""
