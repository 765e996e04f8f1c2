"""What computes: media, faces, speech and pre-labels (pure), and the tasks that call them."""

import contextlib
import ctypes
import os

# Newer versions of onnxruntime report their use to their maker and leave a file in the folder for
# temporary files, unless they are told not to before they are loaded. Nothing that is done with
# recordings of people is to be told to anybody.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# glibc raises the size from which a block of memory has pages of its own as such blocks are freed;
# then pictures and tables leave holes that stay. Held at half a megabyte, finding the faces of a
# video peaks at about 20 MB less, in the same time. Parameters: malloc.h, M_TRIM_THRESHOLD (-1)
# and M_MMAP_THRESHOLD (-3), in bytes; another C library has no such function.
with contextlib.suppress(AttributeError, OSError):
    _libc = ctypes.CDLL(None)
    _libc.mallopt(-3, 512 * 1024)
    _libc.mallopt(-1, 32 * 1024 * 1024)
