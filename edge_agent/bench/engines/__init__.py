"""Programs run by ``Contender``; each answers the same requests with another engine."""
