"""Where the programs are that the findings ask: also where root's are, whoever runs the doctor."""

PROGRAM_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
