"""Servers and tools for the tests, the demo and the generated docs; not part of the product."""
