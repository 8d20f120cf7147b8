"""Peers behind real NATs: network namespaces, nftables, coturn; Python and a real browser.

``python -m tests.nat.matrix`` runs all cells, the suite some; ``tests.nat.killing`` trains with kills. Needs root
(or CAP_NET_ADMIN and CAP_SYS_ADMIN), ``ip``, ``nft`` and ``turnserver``.
"""
