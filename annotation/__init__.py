"""Blind human annotation: codebooks, the labelling interface and the statistics of agreement."""
