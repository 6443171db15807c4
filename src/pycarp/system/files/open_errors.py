"""Tells a mistake of the user who named a file from a cause that passes, such as a full disk."""

import errno

_PASSING = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EINTR}
)


def may_pass(exc: OSError) -> bool:
    """Return True if the same access to a file may succeed later: the disk is full or broken, or resources lack."""
    return exc.errno in _PASSING
