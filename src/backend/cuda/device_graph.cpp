#include "backend/cuda/device_graph.h"

#include "backend/cuda/device.h"

namespace ernie::cuda {

DeviceGraph::DeviceGraph(cudaStream_t stream, const std::function<void()>& issue)
    : stream_(stream) {
  // Relaxed, because a kernel's code may be loaded when it is first recorded.
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), "cudaStreamBeginCapture");
  cudaGraph_t graph = nullptr;
  try {
    issue();
  } catch (...) {
    cudaStreamEndCapture(stream, &graph);
    cudaGraphDestroy(graph);
    throw;
  }
  check(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
  const cudaError_t made = cudaGraphInstantiate(&exec_, graph, 0);
  cudaGraphDestroy(graph);
  check(made, "cudaGraphInstantiate");
  check(cudaGraphUpload(exec_, stream), "cudaGraphUpload");
}

DeviceGraph::~DeviceGraph() {
  cudaStreamSynchronize(stream_);
  cudaGraphExecDestroy(exec_);
}

void DeviceGraph::replay() { check(cudaGraphLaunch(exec_, stream_), "cudaGraphLaunch"); }

}  // namespace ernie::cuda
