"""Restoration: a picture without its noise."""
