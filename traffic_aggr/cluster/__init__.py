"""
YARN's cluster mode: the launcher on the edge node, the submission, and the driver inside its application.

Start with ``launcher``.
"""
