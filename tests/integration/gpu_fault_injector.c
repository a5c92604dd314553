// Loaded into a server by LD_PRELOAD, breaks its GPU when the file $GPU_FAULT appears: by what the file says,
//   trap  a kernel that traps: an error that sticks to the context
//   spin  a kernel that never ends, on all multiprocessors
//   oom   takes all memory that is left
// cc -shared -fPIC -O1 gpu_fault_injector.c -o gpu_fault_injector.so -ldl -lpthread
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char kKernels[] =
    ".version 7.0\n.target sm_80\n.address_size 64\n"
    ".visible .entry trap_now() { trap; ret; }\n"
    ".visible .entry spin() { again: bra again; ret; }\n";

static void* driver;

static int call(const char* name, unsigned long a, unsigned long b, unsigned long c) {
  int (*function)(unsigned long, unsigned long, unsigned long) = dlsym(driver, name);
  const int error = function ? function(a, b, c) : -1;
  if (error) fprintf(stderr, "gpu_fault_injector: %s: %d\n", name, error);
  return error;
}

static void* wait_and_break(void* path) {
  while (access(path, R_OK) != 0) usleep(10 * 1000);
  char kind[16] = "";
  FILE* file = fopen(path, "r");
  if (!file || fscanf(file, "%15s", kind) != 1) return NULL;
  driver = dlopen("libcuda.so.1", RTLD_NOW);
  void *context = NULL, *module = NULL, *kernel = NULL;
  if (call("cuDevicePrimaryCtxRetain", (unsigned long)&context, 0, 0)) return NULL;
  if (call("cuCtxSetCurrent", (unsigned long)context, 0, 0)) return NULL;
  if (strcmp(kind, "oom") == 0) {
    unsigned long at = 0;
    int (*allocate)(unsigned long*, unsigned long) = dlsym(driver, "cuMemAlloc_v2");
    for (unsigned long bytes = 1ul << 34; bytes >= 1ul << 20;) {
      if (allocate(&at, bytes)) bytes /= 2;
    }
    fprintf(stderr, "gpu_fault_injector: no memory is left\n");
    return NULL;
  }
  if (call("cuModuleLoadData", (unsigned long)&module, (unsigned long)kKernels, 0)) return NULL;
  const char* name = strcmp(kind, "trap") == 0 ? "trap_now" : "spin";
  if (call("cuModuleGetFunction", (unsigned long)&kernel, (unsigned long)module, (unsigned long)name)) return NULL;
  int (*launch)(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*, void**, void**) =
      dlsym(driver, "cuLaunchKernel");
  const int error = launch(kernel, 4096, 1, 1, 1024, 1, 1, 0, NULL, NULL, NULL);
  fprintf(stderr, "gpu_fault_injector: %s: %d\n", name, error);
  return NULL;
}

__attribute__((constructor)) static void start(void) {
  pthread_t thread;
  char* path = getenv("GPU_FAULT");
  unsetenv("LD_PRELOAD");
  if (path) pthread_create(&thread, NULL, wait_and_break, path);
}
