"""Spectral patches: (N, bands, height, width) of one dtype, from arrays, numbers in lists and .npy files."""

from deploy.inputs.arraylike import ArrayInput


class SpectralInput(ArrayInput):
    """One patch: (bands, height, width) in the dtype of the sensor; (N, bands, height, width) is a batch."""

    example = '"patch.npy"'
    file = "a .npy file"
    filename = "patch.npy"
