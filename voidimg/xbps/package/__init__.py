"""One binary package: reading it, writing it, and what its file list says."""
