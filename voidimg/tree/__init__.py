"""A directory tree that nobody is led out of: paths, walks, and copies taken out of it."""
