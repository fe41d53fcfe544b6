"""What xbps-install 0.60.7 itself would do, oddities included: the measure of our own resolver."""
