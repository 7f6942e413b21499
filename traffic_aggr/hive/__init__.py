"""
Tables in the Hive metastore: their partitions, formats and promises, the files Spark reads of them, SQL text.

Start with ``catalog``. Imports ``files``, ``config`` and ``traffic``.
"""
