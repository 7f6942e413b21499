"""
Spark itself: the session and its settings, the JVM, Hadoop's clients, YARN, progress, what travels to the cluster.

Start with ``session``.
"""
