"""A whole study from one file, as `manage.py create_study` sets it up.

It lies here, and not in `waver.studies`, because a study file names a codebook, a gate policy and
consent documents as well: this is the lowest layer that may know all of them.
"""

from waver.datasets.setup.applying import SetUp, set_up
from waver.datasets.setup.reading import StudyFile, StudyFileProblem, read_study_file

__all__ = ["SetUp", "StudyFile", "StudyFileProblem", "read_study_file", "set_up"]
