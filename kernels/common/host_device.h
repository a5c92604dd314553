#pragma once

// For functions of headers that plain C++ compilers read too.
#ifdef __CUDACC__
#define ERNIE_HOST_DEVICE __host__ __device__
#else
#define ERNIE_HOST_DEVICE
#endif
