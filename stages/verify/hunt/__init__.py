"""Hunts for worst cases: inputs that no test row is like, on which a faulty model would be seen.

    activations   drive every layer to its extremes, by gradients: where clips and saturations hide
    margins       the border between two decisions, by bisection and evolution: where a decision flips first
    divergence    where torch float32 is furthest from float64, by evolution
    answers       where the model itself is furthest from float64, by evolution on the real session

`search` runs them within a time budget, `judge` puts what they found to the model. All is seeded; as long as the
budget does not end a search, equal arguments give equal inputs.
"""
