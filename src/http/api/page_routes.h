#pragma once

#include <span>
#include <string_view>

#include "http/router.h"

namespace ernie::http {

// A file of the pages that the program serves; its bytes are part of the program.
struct PageFile {
  std::string_view path;  // of the route
  std::string_view content_type;
  std::string_view etag;  // with its quotes
  bool gzipped = false;   // as it is kept and sent
  bool is_final = false;  // its path tells its content, so browsers need not ask again
  std::string_view bytes;
};

// GET `path` for the page of that path in `files`, without a key, and GET /assets/* for what pages
// load. `files` outlives the router.
void register_page(Router& router, std::span<const PageFile> files, std::string_view path);
void register_page_assets(Router& router, std::span<const PageFile> files);

}  // namespace ernie::http
