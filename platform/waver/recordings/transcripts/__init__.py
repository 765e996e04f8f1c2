"""What is said in a recording: values, files in and out, versions and how they differ.

A transcript is personal data: it is what a participant said, word for word.
"""
