"""The Open Inference Protocol over one transport-free data plane."""
