"""The apps: Network, Domain, Worker, and the `grid` command that starts them."""
