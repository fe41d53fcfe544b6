"""Writes finished images to media: what may be written to, from what, and whether it arrived."""
