"""The HTTP/1.1 server: heads, bodies, the router of operations, responses, limits, metrics (RFC 9110, 9112).

Knows requests and responses; must not know what any operation does.
"""
