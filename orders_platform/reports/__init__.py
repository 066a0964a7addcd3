"""What documents mean for people who answer for the money."""
