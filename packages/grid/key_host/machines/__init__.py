"""Sans-IO machines of a key host: facts and an event in, the next state and effects out.

They know states and what may follow on each; they must not know a clock, a database, a key or a socket.
"""
