#include "media/http_url.h"

#include <gtest/gtest.h>

#include <string>

namespace ernie::media {
namespace {

TEST(HttpUrl, OrdinaryUrlsPass) {
  for (const char* url :
       {"http://example.com/a.jpg", "https://example.com", "HTTPS://EXAMPLE.com:443/x?y=z#f",
        "http://a_b-c.example.com:80/", "http://8.8.8.8/x", "https://[2606:4700::1111]/x",
        "https://xn--fiqs8s.xn--fiqs8s/\xE5\x9B\xBE.png", "http://3com.example/",
        "https://example.com/user@host"}) {
    const Status allowed = check_http_url(url, {});
    EXPECT_TRUE(allowed) << url << ": " << allowed.error().message;
  }
}

// A48
TEST(HttpUrl, AmbiguousOrPrivateUrlsAreBlocked) {
  for (const std::string url : {"http://127.0.0.1/",
                                "http://0.0.0.0/",
                                "http://169.254.169.254/latest",
                                "http://10.0.0.1/",
                                "http://192.168.0.1/",
                                "http://100.64.0.1/",
                                "http://[::1]/",
                                "http://[fe80::1]/",
                                "http://[fc00::1]/",
                                "http://[::ffff:127.0.0.1]/",
                                "http://[::ffff:7f00:1]/",
                                "http://2130706433/",
                                "http://0x7f000001/",
                                "http://0x7f.1/",
                                "http://0177.0.0.1/",
                                "http://127.1/",
                                "http://127.0.0.0x1/",
                                "http://0127.0.0.1/",
                                "http://134744072/",
                                "http://8.8.8.8./",
                                "http://localhost./",
                                "http://example.com./",
                                "http://user@example.com/",
                                "http://example.com@127.0.0.1/",
                                "http://a:b@example.com/",
                                "http://example.com\\@10.0.0.1/",
                                "http:\\\\example.com/",
                                "http://exa mple.com/",
                                "http://exa\tmple.com/",
                                "http://example.com/a\r\nHost: x",
                                "http://example.com/\x7F",
                                "http://example.com:22/",
                                "http://example.com:8080/",
                                "http://example.com:/",
                                "http://example.com:80x/",
                                "http://example.com:99999/",
                                "http://example.com:-80/",
                                "http://example.com:80:80/",
                                "http:///etc",
                                "http://",
                                "http:/example.com/",
                                "http:example.com",
                                "http://%31%32%37.1/",
                                "http://\xEF\xBC\x91\xEF\xBC\x92\xEF\xBC\x97.0.0.1/",
                                "http://127\xE3\x80\x82"
                                "0.0.1/",
                                "http://[::1",
                                "http://[::1]x/",
                                "http://[fe80::1%25eth0]/",
                                "http://[]/",
                                "ftp://example.com/",
                                "file:///etc/passwd",
                                "http:x://example.com/"}) {
    const Status allowed = check_http_url(url, {});
    ASSERT_FALSE(allowed) << url;
    EXPECT_EQ(allowed.error().code, "media_url_blocked") << url;
    EXPECT_EQ(allowed.error().message.find("example.com"), std::string::npos) << url;
  }
  EXPECT_FALSE(check_http_url("http://example.com/" + std::string(1, '\0'), {}));
  EXPECT_FALSE(check_http_url("http://example.com/" + std::string(8192, 'a'), {}));
}

TEST(HttpUrl, PrivateMediaAllowsAddressesAndPortsButNoAmbiguity) {
  FetchPolicy policy;
  policy.allow_private_media = true;
  EXPECT_TRUE(check_http_url("http://127.0.0.1:8080/x", policy));
  EXPECT_TRUE(check_http_url("http://[::1]:9000/x", policy));
  EXPECT_FALSE(check_http_url("http://2130706433/", policy));
  EXPECT_FALSE(check_http_url("http://user@127.0.0.1/", policy));
}

}  // namespace
}  // namespace ernie::media
