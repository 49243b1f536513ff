"""How many threads a process that measures takes for its matrices."""

#: One. A phantom's matrices are so small that a second thread mostly waits, and several processes share the machine.
#: It must be said, in the environment, before the first module that imports numpy.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
