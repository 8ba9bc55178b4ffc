"""Everything over HTTP but inference: metadata, pictures on `/predict`, the repository, a page."""
