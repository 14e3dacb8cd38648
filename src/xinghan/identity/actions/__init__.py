"""What is done to people, merchants and their apps: one file for each of them."""
