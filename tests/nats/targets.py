"""The cluster's worker in Python, as somebody would make it his own: with targets that tests need."""

import os
import signal
import socket
import time

import cluster
import worker


def knock(door, number):
    with socket.create_connection(("127.0.0.1", door)) as stream:
        stream.sendall(number.to_bytes(8, "little"))
        stream.recv(1)
    return number


def knock_and_sleep(door, number, seconds):
    time.sleep(seconds)
    return knock(door, number)


def die(door, number):
    knock(door, number)
    os.kill(os.getpid(), signal.SIGKILL)


def large(length):
    return "x" * length


worker.TARGETS.update(knock=knock, knock_and_sleep=knock_and_sleep, die=die, large=large)
cluster.main()
