"""From recipe to artifacts: plans what a build does and runs it."""
