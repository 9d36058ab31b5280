"""What the bytes say: an open file in, values out."""
