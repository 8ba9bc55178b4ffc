"""Readers of files, shared by sources: each gives arrays and labels, or a `DataError` that names file and place."""
