"""The measured worker: against hosts in memory, and an operator who does what they like."""
