"""Offline checks of finished artifacts: what keeps them from working or must not be shared."""
