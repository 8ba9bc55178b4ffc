"""Watching a server and locking it down: metrics, spans, keys, TLS, the admin port."""
