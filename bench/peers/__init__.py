"""Other programs that do the same work. Each takes HOME, DATA, then the days."""
