#include "http/api/page_routes.h"

#include <algorithm>
#include <memory>
#include <string>

#include "base/check.h"

namespace ernie::http {
namespace {

// Nothing but this server's own files runs or is loaded; pictures and clips are also what the user
// added. Inline styles are not needed: the page sets them through the CSSOM, which is not markup.
// Strings become markup through DOMPurify's policy only, where the browser knows trusted types.
constexpr std::string_view kContentSecurityPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; connect-src 'self'; "
    "img-src 'self' data: blob:; media-src data: blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types dompurify";

constexpr std::string_view kAssets = "/assets/*";

// Whether the client takes gzip; one that says nothing of encodings is taken to want none.
bool takes_gzip(std::string_view accepted) {
  while (!accepted.empty()) {
    const size_t end = std::min(accepted.find(','), accepted.size());
    std::string coding;
    for (const char c : accepted.substr(0, end))
      if (c != ' ' && c != '\t') coding += c;
    if (coding == "gzip" || coding == "*") return true;
    if (coding.starts_with("gzip;q=") && coding.find_first_of("123456789") != coding.npos)
      return true;
    accepted.remove_prefix(std::min(end + 1, accepted.size()));
  }
  return false;
}

Headers headers_of(const PageFile& file) {
  Headers out{{"ETag", std::string(file.etag)},
              {"Cache-Control", file.is_final ? "public, max-age=31536000, immutable" : "no-cache"},
              {"Content-Security-Policy", std::string(kContentSecurityPolicy)},
              {"Referrer-Policy", "no-referrer"},
              {"Permissions-Policy", "camera=(self), microphone=(), geolocation=()"},
              {"Cross-Origin-Resource-Policy", "same-origin"}};
  if (!file.gzipped) return out;
  out.emplace_back("Vary", "Accept-Encoding");
  return out;
}

void send_file(const PageFile& file, const HttpRequest& request, ResponseWriter& writer) {
  Headers headers = headers_of(file);
  if (request.header("if-none-match").find(file.etag) != std::string_view::npos)
    return writer.send(304, {}, {}, headers);
  if (file.gzipped && !takes_gzip(request.header("accept-encoding"))) {
    return writer.send(406, "text/plain; charset=utf-8",
                       "This file is kept compressed: ask for it with Accept-Encoding: gzip, as "
                       "browsers and curl --compressed do.\n",
                       {{"Vary", "Accept-Encoding"}});
  }
  if (file.gzipped) headers.emplace_back("Content-Encoding", "gzip");
  writer.send(200, file.content_type, std::string(file.bytes), headers);
}

const PageFile* find(std::span<const PageFile> files, std::string_view path) {
  const auto found =
      std::ranges::find_if(files, [&](const PageFile& file) { return file.path == path; });
  return found == files.end() ? nullptr : &*found;
}

}  // namespace

void register_page(Router& router, std::span<const PageFile> files, std::string_view path) {
  const PageFile* page = find(files, path);
  CHECK(page != nullptr, "no page of path " + std::string(path));
  router.add("GET", std::string(path), {.requires_key = false},
             [page](const HttpRequest& request, const std::shared_ptr<ResponseWriter>& writer) {
               send_file(*page, request, *writer);
             });
}

void register_page_assets(Router& router, std::span<const PageFile> files) {
  router.add("GET", std::string(kAssets), {.requires_key = false},
             [files](const HttpRequest& request, const std::shared_ptr<ResponseWriter>& writer) {
               if (const PageFile* file = find(files, request.path))
                 return send_file(*file, request, *writer);
               writer->send_error({ErrorKind::kNotFound, "there is no such file", {}, "not_found"});
             });
}

}  // namespace ernie::http
