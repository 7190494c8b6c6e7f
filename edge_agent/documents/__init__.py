"""Documentation that is written from the program itself; ``scripts/make_docs.py`` runs it."""
