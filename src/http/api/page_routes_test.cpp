#include "http/api/page_routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "http/server_harness.h"

namespace ernie::http {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr PageFile kFiles[] = {
    {"/", "text/html; charset=utf-8", "\"page\"", true, false, "zipped page"},
    {"/assets/font.woff2", "font/woff2", "\"font\"", false, true, "letters"},
};

class PageRoutes : public testing::Test {
 protected:
  PageRoutes() : server_(ServerOptions{.api_keys = {"secret"}}) {
    auto router = std::make_shared<Router>();
    register_page(*router, kFiles, "/");
    register_page_assets(*router, kFiles);
    server_.server().set_router(router);
  }
  RawClient::Response get(std::string_view path, std::string_view headers = {}) const {
    return server_.get(path, headers);
  }

  TestServer server_;
};

// A98
TEST_F(PageRoutes, APageNeedsNoKeyAndAllowsNothingForeign) {
  const auto page = get("/", "Accept-Encoding: br;q=1, gzip ;q=0.5\r\n");
  EXPECT_EQ(page.status, 200);
  EXPECT_EQ(page.body, "zipped page");
  EXPECT_EQ(page.headers.at("content-encoding"), "gzip");
  EXPECT_EQ(page.headers.at("content-type"), "text/html; charset=utf-8");
  EXPECT_EQ(page.headers.at("cache-control"), "no-cache");
  EXPECT_EQ(page.headers.at("x-content-type-options"), "nosniff");
  EXPECT_EQ(page.headers.at("referrer-policy"), "no-referrer");
  const std::string policy = page.headers.at("content-security-policy");
  EXPECT_THAT(policy, HasSubstr("default-src 'none'"));
  EXPECT_THAT(policy, HasSubstr("frame-ancestors 'none'"));
  EXPECT_THAT(policy, Not(HasSubstr("unsafe")));
}

TEST_F(PageRoutes, WhoTakesNoGzipIsToldSo) {
  for (const char* header : {"", "Accept-Encoding: identity\r\n", "Accept-Encoding: gzip;q=0\r\n",
                             "Accept-Encoding: br, gzip; q=0.000\r\n"}) {
    const auto page = get("/", header);
    EXPECT_EQ(page.status, 406) << header;
    EXPECT_THAT(page.body, HasSubstr("curl --compressed"));
  }
  EXPECT_EQ(get("/", "Accept-Encoding: *\r\n").status, 200);
  EXPECT_EQ(get("/assets/font.woff2").status, 200) << "is compressed in itself";
}

TEST_F(PageRoutes, WhatABrowserHasIsNotSentAgain) {
  const auto kept = get("/", "If-None-Match: \"other\", \"page\"\r\n");
  EXPECT_EQ(kept.status, 304);
  EXPECT_EQ(kept.headers.at("etag"), "\"page\"");
  EXPECT_FALSE(kept.headers.contains("content-length"));
  const auto font = get("/assets/font.woff2");
  EXPECT_THAT(font.headers.at("cache-control"), HasSubstr("immutable"));
  EXPECT_FALSE(font.headers.contains("content-encoding"));
}

TEST_F(PageRoutes, OtherPathsAndMethodsAreErrorsAsElsewhere) {
  EXPECT_EQ(error_code_of(get("/assets/none.js").body), "not_found");
  EXPECT_EQ(get("/dashboard").status, 404);
  EXPECT_EQ(server_.post("/", "{}").status, 405);
}

}  // namespace
}  // namespace ernie::http
