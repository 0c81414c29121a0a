"""What is done for the customers of a segment: campaigns, their messages, and what came of them."""
