"""Takes the time of a run, and tells the benchmark when it begins and ends: that reads what the cores have done then."""

import os
import signal
import sys
import threading
import time


def triple(n):
    return (n * 3) & 0xFFFFFFFFFFFFFFFF


def say_ready():
    """In a worker: it takes requests from now on, and ends with who started it."""
    threading.Thread(target=end_with_parent, daemon=True).start()
    print("ready", flush=True)


def end_with_parent():
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


class Stopwatch:
    def __init__(self):
        self.sent = {}
        self.latencies = []
        self.sum = 0
        self.tell("begin")
        self.begin = time.perf_counter()

    def start(self, n):
        self.sent[n] = time.perf_counter()

    def done(self, n, output):
        self.latencies.append(time.perf_counter() - self.sent[n])
        self.sum += output

    def stop(self):
        seconds = time.perf_counter() - self.begin
        self.latencies.sort()
        count = len(self.latencies)
        p50, p99 = self.latencies[count // 2], self.latencies[count * 99 // 100]
        self.tell(f"end {self.sum & 0xFFFFFFFFFFFFFFFF} {seconds} {p50} {p99}")

    def tell(self, line):
        print(line, flush=True)
        # The benchmark has read what it wants to know.
        sys.stdin.readline()
