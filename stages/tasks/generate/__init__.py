"""Generation: the next character of a poem, and so the poem."""
