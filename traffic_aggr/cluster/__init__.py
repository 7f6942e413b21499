"""
YARN's cluster mode: the launcher on the edge node, the submission, the driver inside its application.

Start with ``launcher``.
"""
