"""What else would do the same work, each a program of its own: HOME, DATA, then the days."""
