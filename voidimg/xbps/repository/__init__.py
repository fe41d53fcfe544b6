"""Repositories: the index and local directories of packages."""
