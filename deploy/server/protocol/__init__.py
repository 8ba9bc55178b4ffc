"""The Open Inference Protocol v2 as JSON and bytes, with no transport but the headers of HTTP."""
