"""What every job queue must do, and the one of this process."""
