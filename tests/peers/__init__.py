"""Tests of the room of peers: offers, and the gateways that end sessions."""
