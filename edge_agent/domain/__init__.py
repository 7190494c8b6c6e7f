"""The nouns that every stage shares. Pure, and importing nothing but each other and the errors."""
