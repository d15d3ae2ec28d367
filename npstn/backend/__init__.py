"""What kernels run on: the compiler and its cache, threads, the BLAS, memory, random numbers, and forks."""
