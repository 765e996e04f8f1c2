"""Clip quality for curators: figures of a recording, a study's thresholds, and what falls short.

The figures are measured once, by the stage `quality`. The thresholds are the study's, in versions;
when they change, recordings are judged again from the figures that are there.
"""
