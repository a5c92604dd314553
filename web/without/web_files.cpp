#include "web_files.h"

namespace ernie {

std::span<const http::PageFile> web_files() { return {}; }

}  // namespace ernie
