"""The SDK's clients of nodes: login, credentials, collections, and how they show themselves."""
