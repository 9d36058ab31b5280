"""One command, one file. Each gives an exit code."""
