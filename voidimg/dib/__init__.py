"""The element for diskimage-builder: where it is, and whether diskimage-builder takes it."""
