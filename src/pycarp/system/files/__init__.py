"""Files that people name, read and written without following what somebody else put there."""
