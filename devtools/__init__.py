"""Servers that stand in for the warehouse's neighbours in tests and in the demo; no part of the product."""
