"""Looks into finished artifacts without starting or mounting anything."""
