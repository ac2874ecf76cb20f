"""What is wrong with a dataset, found before any GPU time is spent."""
