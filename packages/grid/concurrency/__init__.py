"""Work beside the event loop: offloading, timers, executors, combining, breakers.

Knows greenlets and threads; must not know what the work is.
"""
