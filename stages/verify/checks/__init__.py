"""One file a family of checks: `check(examination)` yields them. `certify` calls the families in order."""
