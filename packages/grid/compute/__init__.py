"""Remote computation: users' sessions, the processes in which their values live, and what may leave them.

The node's process decides (``service.py`` and what it uses) and never imports torch; kernels run in host processes
(``host.py``), which know nothing of users, databases or networks. Both import ``protocol.py``.

It must not know how environments are made: they bring their own processes (:mod:`grid.environments`).
"""
