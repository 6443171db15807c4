"""What clients notice when something happens to the MASTER: pycarp, ucarp and keepalived in the same run."""
