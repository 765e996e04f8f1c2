"""From an uploaded recording to its frame-exact proxy, its sound and its time map.

Pure: paths in, values out. No Django, no Celery, nothing of waver. Uploaded files are hostile
until shown otherwise: they are opened with a forced format (`containers`, `probe`) and converted
by the one guarded way to start ffmpeg (`runner`).
"""
