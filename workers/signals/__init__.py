"""Reads sensor recordings (heart rate, skin conductance …) from CSV and EDF files.

Pure: paths in, values out. Files are hostile until shown otherwise: nothing that a header claims is
believed before it is checked against the file, and no file is ever whole in memory. The way in is
`workers.signals.extract.extract`.
"""
