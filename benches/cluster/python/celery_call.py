"""Asks Celery's workers: celery_call.py WARM_UP REQUESTS WINDOW."""

import sys
from collections import deque

from celery_app import triple
from timing import Stopwatch


def run(numbers, window, stopwatch=None):
    under_way = deque()
    for n in numbers:
        if len(under_way) == window:
            under_way.popleft().get(timeout=60)
        if stopwatch:
            stopwatch.start(n)
        result = triple.delay(n)
        if stopwatch:
            # Called as outcomes come, whichever of them is waited for.
            result.then(lambda result, n=n: stopwatch.done(n, result.result))
        under_way.append(result)
    for result in under_way:
        result.get(timeout=60)


warm_up, requests, window = map(int, sys.argv[1:])
run(range(warm_up), window)
stopwatch = Stopwatch()
run(range(warm_up, warm_up + requests), window, stopwatch)
stopwatch.stop()
