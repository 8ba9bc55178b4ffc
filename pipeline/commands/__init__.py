"""One file a command, named as its verb: options in, one call."""
