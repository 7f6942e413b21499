"""
Sends statements to Impala over secured connections, retries them, and interprets the answers.

Start with ``refresh``; ``answers`` is the table of error messages.
"""
