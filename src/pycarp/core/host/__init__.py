"""One virtual host: its states, what each does, and the hand-shake of a takeover. Pure."""
