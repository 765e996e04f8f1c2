"""Machine suggestions that a rater may be shown; paths and values in, values out, no framework."""
