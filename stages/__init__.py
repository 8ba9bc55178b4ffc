"""Train, export, verify, package: each stage is `run(config, input_result, out) -> Result`. Torch lives here."""
