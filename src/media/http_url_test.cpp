#include "media/http_url.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace ernie::media {
namespace {

TEST(HttpUrl, OrdinaryUrlsPass) {
  for (const char* url :
       {"http://example.com/a.jpg", "https://example.com", "HTTPS://EXAMPLE.com:443/x?y=z#f",
        "http://a_b-c.example.com:80/", "http://8.8.8.8/x", "https://[2606:4700::1111]/x",
        "https://xn--fiqs8s.xn--fiqs8s/\xE5\x9B\xBE.png", "http://3com.example/",
        "https://example.com/user@host"}) {
    const auto allowed = checked_http_url(url, {});
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
                                "http://example.com /",
                                " http://example.com/",
                                "http://exa%20mple.com/",
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
                                "http://\xE2\x91\xA0.0.0.1/",
                                "http://\xC2\xAD"
                                "example.com/",
                                "http://ex\xC3\xA4"
                                "mple\xEF\xBC\xA0.com/",
                                "http://\xE5\x9B\xBE.127.0.0.1/",
                                "http://\xE5\x9B\xBE.example.com:22/",
                                "http://\xE5\x9B\xBE.example.com./",
                                "http://\xE5.example.com/",
                                "http://[::1",
                                "http://[::1]x/",
                                "http://[fe80::1%25eth0]/",
                                "http://[]/",
                                "ftp://example.com/",
                                "file:///etc/passwd",
                                "http:x://example.com/"}) {
    const auto allowed = checked_http_url(url, {});
    ASSERT_FALSE(allowed) << url;
    EXPECT_EQ(allowed.error().code, "media_url_blocked") << url;
    EXPECT_EQ(allowed.error().message.find("example.com"), std::string::npos) << url;
  }
  EXPECT_FALSE(checked_http_url("http://example.com/" + std::string(1, '\0'), {}));
  EXPECT_FALSE(checked_http_url("http://example.com/" + std::string(8192, 'a'), {}));
}

std::string sent(std::string_view url) {
  const auto checked = checked_http_url(url, {});
  return checked ? *checked : checked.error().message;
}

// As browsers send them (WHATWG URL).
TEST(HttpUrl, PathsAndQueriesArePercentEncoded) {
  EXPECT_EQ(sent("https://example.com/\xE5\x9B\xBE \xC3\xA4.png?q=\xC3\xBC b"),
            "https://example.com/%E5%9B%BE%20%C3%A4.png?q=%C3%BC%20b");
  EXPECT_EQ(sent("http://example.com/a\"<>`{}^'|[]?a\"<>`{}^'|[]"),
            "http://example.com/a%22%3C%3E%60%7B%7D%5E'|[]?a%22%3C%3E`{}^%27|[]");
  EXPECT_EQ(sent("http://example.com/%E5%9b%be%20%?100%"), "http://example.com/%E5%9b%be%20%?100%");
  EXPECT_EQ(sent("http://example.com?\xC3\xA4#\xC3\xA4"), "http://example.com?%C3%A4");
  EXPECT_EQ(sent("http://example.com/a b  "), "http://example.com/a%20b");
  EXPECT_EQ(sent("http://example.com/\xFF"), "http://example.com/%FF");
  EXPECT_EQ(sent("HTTP://[2606:4700::1111]:80/\xC3\xA4"), "HTTP://[2606:4700::1111]:80/%C3%A4");
}

TEST(HttpUrl, InternationalHostsBecomePunycode) {
  EXPECT_EQ(sent("https://\xE4\xB8\xAD\xE5\x9B\xBD.\xE4\xB8\xAD\xE5\x9B\xBD/a"),
            "https://xn--fiqs8s.xn--fiqs8s/a");
  EXPECT_EQ(sent("http://B\xC3\x9C"
                 "CHER.example:443/"),
            "http://xn--bcher-kva.example:443/");
  EXPECT_EQ(sent("http://stra\xC3\x9F"
                 "e.example/"),
            "http://xn--strae-oqa.example/");
  EXPECT_EQ(sent("http://\xE4\xB8\xAD\xE5\x9B\xBD\xE3\x80\x82"
                 "cn/"),
            "http://xn--fiqs8s.cn/");
  EXPECT_NE(sent("http://\xEF\xBC\x91\xEF\xBC\x92\xEF\xBC\x97.0.0.1/").find("stand for ASCII"),
            std::string::npos);
}

TEST(HttpUrl, PrivateMediaAllowsAddressesAndPortsButNoAmbiguity) {
  FetchPolicy policy;
  policy.allow_private_media = true;
  EXPECT_TRUE(checked_http_url("http://127.0.0.1:8080/x", policy));
  EXPECT_TRUE(checked_http_url("http://[::1]:9000/x", policy));
  EXPECT_FALSE(checked_http_url("http://2130706433/", policy));
  EXPECT_FALSE(checked_http_url("http://user@127.0.0.1/", policy));
}

}  // namespace
}  // namespace ernie::media
