"""What people do with trades, one file per verb."""
