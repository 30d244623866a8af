"""Celery's part: the task, and settings for the guarantees that the others give and for speed."""

import os

from celery import Celery
from celery.signals import worker_ready

from timing import say_ready
from timing import triple as compute

REDIS = os.environ["CLUSTER_REDIS"]

app = Celery("cluster", broker=REDIS, backend=REDIS)
app.conf.update(
    # A request is gone when it is done, not when it is taken: a worker's death loses none.
    task_acks_late=True,
    worker_prefetch_multiplier=int(os.environ["CLUSTER_PREFETCH"]),
    worker_disable_rate_limits=True,
    # What is printed is for the benchmark.
    worker_redirect_stdouts=False,
    broker_connection_retry_on_startup=True,
    result_expires=600,
)


@app.task
def triple(n):
    return compute(n)


@worker_ready.connect
def ready(**_):
    say_ready()
