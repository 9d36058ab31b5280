"""What is true: values in, values out. No clock, no disk, no thread."""
