"""Floor 5: packets seen on a network, explained to people; pure, beside the engine, which never asks it."""
