"""
Spark: the session and its settings, the JVM, Hadoop's clients, YARN, progress, and packages for the cluster.

Start with ``session``.
"""
