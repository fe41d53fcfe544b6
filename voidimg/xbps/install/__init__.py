"""Installs and removes packages: the package database, files, alternatives and scripts."""
