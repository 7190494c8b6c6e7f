"""``Reading`` → ``Finding``: knows normal, notices what leaves it. Pure."""
