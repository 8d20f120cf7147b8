"""Tests of how a node is reached by whichever way leads there."""
