"""Sample recordings are what their truth says."""
