"""What computes: media, faces, speech and pre-labels (pure), and the tasks that call them."""

import os

# Newer versions of onnxruntime report their use to their maker and leave a file in the folder for
# temporary files, unless they are told not to before they are loaded. Nothing that is done with
# recordings of people is to be told to anybody.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
