"""Bytes → ``Reading``, or ``BadPayload``. Pure."""
