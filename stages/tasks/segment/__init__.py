"""Segmentation: a class for every pixel of a picture, or every voxel of a volume."""
