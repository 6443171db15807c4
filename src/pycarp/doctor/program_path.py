"""Where the programs are that the findings ask: also where root's are, no matter which user runs the doctor."""

PROGRAM_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
