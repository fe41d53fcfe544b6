"""What a build makes: the trees, and one file for each artifact kind that is made of them."""
