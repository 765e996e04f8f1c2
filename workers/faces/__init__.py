"""Finds, follows, aligns and crops the faces of a recording; paths in, values out, no framework.

The way in is `workers.faces.extract.extract_faces`; `workers.faces.crops` reads its crops back.
"""
