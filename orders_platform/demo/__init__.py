"""The platform's proof of itself: a stream with known truth, a kill on the way, and a comparison of everything."""
