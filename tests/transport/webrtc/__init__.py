"""Tests of WebRTC sessions: the engine, pipes, and what hostile ends do."""
