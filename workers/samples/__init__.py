"""Sample recordings with a planted truth, for trying Waver without anybody's real videos.

One free photograph is moved, turned and zoomed as a head would, and speaks with a synthesised
voice; pauses and head turns come at known times. Everything made here is marked synthetic.
"""
