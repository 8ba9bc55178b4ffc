"""One file a kind of input: the module that turns what the application holds into what the network takes."""
