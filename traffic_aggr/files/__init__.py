"""
One interface to files and directories: on the local file system, and through Hadoop's client.

Start with ``local``, which defines the interface.
"""
