"""Downloads: repositories over HTTP or from a directory, and the content-addressed cache."""
