"""What the peers share: shapes of the work, pictures, and how a peer's process talks to compare.py.

A peer is a program `python NAME.py ARGUMENTS`. It loads, prints a JSON line, then answers each line of its input, the name of a job,
with a JSON line, and computes nothing in between. Libraries that print to standard output print to standard error here.
"""
import json
import os
import resource
import sys
import time

# Set by compare.py for its children.
THREADS = int(os.environ.get("PEERS_THREADS", 2))
CPU_TIME = "PEERS_CPU_TIME" in os.environ
LAYERS, HIDDEN, HEADS, ROWS = 24, 1024, 16, 25408
LEFT, SIDE, RIGHT = 64, 16, 64
PROMPT = LEFT + SIDE * SIDE + 2  # what a caption's first token sees: left text, picture, two tokens
TOKENS = 30  # of a caption
STEPS = 16  # tokens timed one by one


def clock():
    """Seconds; or processor seconds of this process a thread."""
    return time.process_time() / THREADS if CPU_TIME else time.perf_counter()


def timed(run):
    start = clock()
    result = run()
    return clock() - start, result


def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def errors_only(llama):
    """Of what llama.cpp (the module) has to say."""
    import ctypes

    @llama.llama_log_callback
    def log(level, text, _):
        if level == 4:
            sys.stderr.write(text.decode(errors="replace"))

    llama.llama_log_set(log, ctypes.c_void_p(0))
    errors_only.log = log  # C goes on calling it


def serve(load):
    """`load()` gives the jobs: functions by name, whose results are JSON. With the argument --once NAME: that job, once, and its memory."""
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(value):
        print(json.dumps(value), file=output, flush=True)

    imported = peak_mib()
    seconds, jobs = timed(load)
    if "--once" in sys.argv:
        jobs[sys.argv[sys.argv.index("--once") + 1]]()
        answer({"imported_mib": imported, "peak_mib": peak_mib()})
        return
    answer({"load": seconds})
    for line in sys.stdin:
        answer(jobs[line.strip()]())
