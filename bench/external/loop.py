"""What Python's tempfile takes: loop.py WHAT DIRECTORY MILLISECONDS prints microseconds for one."""

import sys
import tempfile
import time

KILOBYTE = bytes(1024)


def named():
    tempfile.NamedTemporaryFile().close()


def unnamed():
    tempfile.TemporaryFile(buffering=0).close()


def directory():
    tempfile.TemporaryDirectory().cleanup()


def small():
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(KILOBYTE)
        file.seek(0)
        assert len(file.read(1024)) == 1024


call = {"named": named, "unnamed": unnamed, "directory": directory, "small": small}[sys.argv[1]]
tempfile.tempdir = sys.argv[2]
for _ in range(100):
    call()
count = 0
start = time.perf_counter()
end = start + int(sys.argv[3]) / 1000
while (now := time.perf_counter()) < end:
    call()
    count += 1
print((now - start) / count * 1e6)
