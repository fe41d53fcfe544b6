"""Platforms and profiles: TOML files become typed, frozen recipes."""
