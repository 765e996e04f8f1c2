"""Finds speech and the pauses in it; paths in, values out, no framework."""
