"""The command: one module per verb; imports the public face only."""
