"""What is to be seen live: numbers, metrics, the page and an order's story."""
