"""Evidence and chains of our own: what hardware and its makers would sign, signed by keys that tests hold."""
