// Who is at the other end of a session: what the socket and the DNS say about it.
#pragma once

#include <string>

#include "dns/answer.hpp"
#include "net/endpoint.hpp"

namespace stagepost::smtpd {

struct Client {
  std::string name = "unknown";          ///< address -> name -> address
  std::string reverse_name = "unknown";  ///< address -> name
  dns::Status name_status = dns::Status::not_found;
  dns::Status reverse_status = dns::Status::not_found;
  std::string address = "unknown";  ///< "192.0.2.1", "2001:db8::1"; "unknown" when it is no IP address
  std::string port = "unknown";
  net::Family family = net::Family::ipv4;
  std::string server_address = "unknown";
  std::string server_port = "unknown";
  /// "name[address]", with ":port" when smtpd_client_port_logging says so; in every log line.
  std::string label = "unknown[unknown]";
};

}  // namespace stagepost::smtpd
