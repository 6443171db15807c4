"""Safe access to files that users name: no symbolic link of another user is followed, and no read is unbounded."""
