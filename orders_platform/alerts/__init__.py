"""What people are told without looking: which causes, once each, in which words, and how it reaches their webhook."""
