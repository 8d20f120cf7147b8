"""The peer in the browser: its sources in Node, its bundle in real Chromium against real nodes."""
