"""Image sets: rows of a set become jobs, are judged, and appear complete or not at all."""
