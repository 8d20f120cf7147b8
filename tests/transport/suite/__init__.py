"""What every transport does, whichever it is: one suite, run by each."""
