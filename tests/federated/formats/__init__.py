"""What every report format must do, and two that come from outside the tree: locked ones, and masked ones."""
