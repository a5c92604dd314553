#pragma once

#include <span>

#include "http/api/page_routes.h"

namespace ernie {

// The chat page at "/", "/dashboard", and the files that they load; none in a build without them.
std::span<const http::PageFile> web_files();

}  // namespace ernie
