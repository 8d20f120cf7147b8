"""What every report format must do, and two that come from outside the tree: sealed ones, and masked ones."""
