"""What pycarp costs and brings, measured beside others."""
