"""
Files and directories behind one interface: the local file system, and any that Hadoop's client knows.

Start with ``local``, which holds the interface.
"""
