// Socket planning from master.cf names.
#include "master/endpoints.hpp"

#include <gtest/gtest.h>

namespace stagepost::master {
namespace {

using config::ServiceEntry;
using config::ServiceType;

NameLookup fake_lookup() {
  return {.host = [](const std::string& host) -> Result<std::vector<net::IpAddress>> {
            if (const auto literal = net::IpAddress::parse(host)) { return std::vector{*literal}; }
            if (host == "localhost") {
              return std::vector{*net::IpAddress::parse("127.0.0.1"), *net::IpAddress::parse("::1")};
            }
            return failure("host not found: " + host);
          },
          .loopback = []() -> Result<std::vector<net::IpAddress>> {
            return std::vector{*net::IpAddress::parse("127.0.0.1"), *net::IpAddress::parse("::1")};
          },
          .port = [](const std::string& name) -> Result<std::uint16_t> {
            if (name == "ident") { return std::uint16_t{113}; }
            return failure("unknown service " + name);
          }};
}

ServiceEntry entry(std::string name, ServiceType type, bool is_private = false) {
  ServiceEntry made;
  made.name = std::move(name);
  made.type = type;
  made.private_ = is_private;
  return made;
}

std::string keys(const std::string& name, const std::vector<std::string>& interfaces, bool ipv4 = true,
                 bool ipv6 = true) {
  const InetSettings settings{.interfaces = interfaces,
                              .ipv4 = ipv4,
                              .ipv6 = ipv6,
                              .known_tcp_ports = "lmtp=24, smtp=25, smtps=submissions=465"};
  const auto specs = listen_specs(entry(name, ServiceType::inet), settings, fake_lookup());
  if (!specs) { return "error"; }
  std::string text;
  for (const ListenSpec& spec : *specs) { text += (text.empty() ? "" : " ") + spec.endpoint.bracketed(); }
  return text;
}

TEST(Endpoints, NamesBecomeAddressesAndPorts) {
  EXPECT_EQ(keys("smtp", {"all"}), "[0.0.0.0]:25 [::]:25");
  EXPECT_EQ(keys("smtp", {"all"}, true, false), "[0.0.0.0]:25");
  EXPECT_EQ(keys("submissions", {"loopback-only"}), "[127.0.0.1]:465 [::1]:465");
  EXPECT_EQ(keys("smtps", {"192.0.2.1", "localhost"}), "[192.0.2.1]:465 [127.0.0.1]:465 [::1]:465");
  EXPECT_EQ(keys("127.0.0.1:10025", {"all"}), "[127.0.0.1]:10025");
  EXPECT_EQ(keys("::1:smtp", {"all"}), "[::1]:25");
  EXPECT_EQ(keys("[::1]:smtp", {"all"}), "[::1]:25");
  EXPECT_EQ(keys("localhost:ident", {"all"}), "[127.0.0.1]:113 [::1]:113");
  EXPECT_EQ(keys("25", {"127.0.0.1", "localhost"}), "[127.0.0.1]:25 [::1]:25") << "an address twice is one socket";
}

TEST(Endpoints, BadNamesAreErrors) {
  for (const char* name : {"0", "65536", "nosuch", "nosuch.example:25", "[::1]", "[::1]:", "127.0.0.1:", ""}) {
    EXPECT_EQ(keys(name, {"all"}), "error") << name;
  }
  EXPECT_EQ(keys("::1:25", {"all"}, true, false), "error") << "an IPv6 address with IPv6 switched off";
}

TEST(Endpoints, LocalServicesAreBelowPrivateOrPublic) {
  const auto specs = listen_specs(entry("rewrite", ServiceType::unix_stream, true), {}, fake_lookup());
  ASSERT_TRUE(specs.has_value());
  EXPECT_EQ(specs->front().path, "private/rewrite");
  const auto shared = listen_specs(entry("pickup", ServiceType::fifo), {}, fake_lookup());
  ASSERT_TRUE(shared.has_value());
  EXPECT_EQ(shared->front().key(), "fifo public/pickup");
  EXPECT_TRUE(loopback_only(*specs));
}

TEST(Endpoints, ProtocolListIsChecked) {
  InetSettings settings;
  EXPECT_TRUE(set_protocols(settings, {"ipv6"}).has_value());
  EXPECT_FALSE(settings.ipv4);
  EXPECT_TRUE(settings.ipv6);
  EXPECT_FALSE(set_protocols(settings, {"ipx"}).has_value());
  EXPECT_FALSE(set_protocols(settings, {}).has_value());
}

TEST(Endpoints, TheFirstDisablePatternThatMatchesCounts) {
  const auto smtp = entry("smtp", ServiceType::inet);
  const auto foo = entry("foo", ServiceType::inet);
  EXPECT_FALSE(service_disabled(smtp, {}));
  EXPECT_TRUE(service_disabled(smtp, {"smtp/inet"}));
  EXPECT_TRUE(service_disabled(smtp, {"smtp.inet"}));
  EXPECT_TRUE(service_disabled(smtp, {"unix", "inet"}));
  EXPECT_FALSE(service_disabled(foo, {"!foo/inet", "inet"}));
  EXPECT_TRUE(service_disabled(smtp, {"!foo/inet", "inet"}));
  EXPECT_FALSE(service_disabled(smtp, {"all"}));
}

}  // namespace
}  // namespace stagepost::master
