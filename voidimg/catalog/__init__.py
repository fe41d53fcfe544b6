"""What platforms and profiles there are, and whether what they say can be built."""
