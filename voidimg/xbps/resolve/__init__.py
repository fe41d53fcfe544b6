"""Chooses the packages of a transaction and their order."""
