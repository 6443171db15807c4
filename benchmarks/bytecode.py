"""An environment for measured processes in which Python keeps compiled modules, as it does for installed packages.

Where PYTHONDONTWRITEBYTECODE is set, as on many machines that run tests, every start would compile all of pycarp
again: that takes longer than all the rest of a start, and MiBs that are never given back.
"""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache

_MODULES = "import pycarp.cli.run, pycarp.cli.status, pycarp.config.toml, pycarp.system.guardian.guardian_program"


@cache
def environment() -> dict[str, str]:
    """Return the environment, with a folder of compiled modules that lasts as long as this process."""
    folder = tempfile.mkdtemp(prefix="pycarp-bytecode-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    found = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    found["PYTHONPYCACHEPREFIX"] = folder
    # Whatever else a contestant imports is compiled by the first one that starts.
    subprocess.run([sys.executable, "-c", _MODULES], env=found, check=True)
    return found
