"""From a recipe to verified package files: repositories, trust, resolution and locks."""
