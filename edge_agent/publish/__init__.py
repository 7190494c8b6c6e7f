"""``Diagnosis`` → bytes → PUBACK."""
