"""Rules, members and the commands about them."""
