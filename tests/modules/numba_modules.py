"""PTX that numba-cuda makes for its own test suite: tests of the modules that are named run on the device, and what they link (the
texts, as the device's linker keeps them) is written down.

    python3 numba_modules.py DIRECTORY MODULE...
"""

import pathlib
import sys
import unittest

from numba.cuda.cudadrv import driver

DIRECTORY = pathlib.Path(sys.argv[1])
COMPLETE = driver._Linker.complete


def record(linker):
    linked = COMPLETE(linker)
    (DIRECTORY / f"{len(list(DIRECTORY.iterdir())):04}.linked").write_bytes(linked.code)
    return linked


def main():
    driver._Linker.complete = record
    names = [f"numba.cuda.tests.cudapy.{name}" for name in sys.argv[2:]]
    result = unittest.TextTestRunner(verbosity=0).run(unittest.defaultTestLoader.loadTestsFromNames(names))
    bad = [str(test) for test, _ in result.failures + result.errors]
    print("failed:", *bad)
    print(f"PASS numba-cuda: {len(list(DIRECTORY.iterdir()))} modules, {result.testsRun} tests, {len(bad)} failed")


if __name__ == "__main__":
    main()
