"""A supervisor in a process of its own: a polite child, a deaf one, and one that has a deaf child itself.

Each of the four appends its pid to the file `pids` in the folder given as the only argument. The grace is a second.
"""

import sys
from pathlib import Path

from local import supervisor as module
from local.supervisor import Service, Supervisor

NOTES_ITS_PID = "import os, pathlib\npathlib.Path('pids').open('a').write(f'{os.getpid()}\\n')\n"
DEAF = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
SLEEPS = "import time\nwhile True: time.sleep(60)"
STARTS_DEAF = (
    f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-S', '-c', {DEAF + NOTES_ITS_PID + SLEEPS!r}])\n"
)

module.GRACE = 1.0
here = Path(sys.argv[1])
children = {
    "polite": NOTES_ITS_PID + SLEEPS,
    "deaf": DEAF + NOTES_ITS_PID + SLEEPS,
    "parent": NOTES_ITS_PID + STARTS_DEAF + SLEEPS,
}
with Supervisor(logs=here).running() as supervisor:
    for name, code in children.items():
        supervisor.start(Service(name=name, argv=(sys.executable, "-u", "-S", "-c", code), env={}, cwd=here))
    supervisor.run_forever()
