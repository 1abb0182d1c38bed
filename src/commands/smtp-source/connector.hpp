// Connections to the server under test: addresses are looked up once, not for each session.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/deadline.hpp"
#include "base/result.hpp"
#include "commands/smtp-source/options.hpp"
#include "net/endpoint.hpp"
#include "net/event_loop.hpp"
#include "net/stream.hpp"

namespace stagepost::smtp_source {

class Connector {
 public:
  /// Looks the host up (blocking). Error: unknown host or port, no address of the wanted family.
  [[nodiscard]] static Result<Connector> create(net::EventLoop& loop, const Options& options);

  /// Tries each address, -C times over while the server refuses. The Connector must outlive the wait.
  [[nodiscard]] net::Task<Result<std::unique_ptr<net::Stream>>> connect(Deadline deadline) const;

 private:
  explicit Connector(net::EventLoop& loop) : loop_(&loop) {}
  net::Task<Result<std::unique_ptr<net::Stream>>> connect_once(Deadline deadline) const;

  net::EventLoop* loop_;
  std::string unix_path_;
  std::vector<net::Endpoint> endpoints_;
  int attempts_ = 1;
  int window_bytes_ = 0;
};

}  // namespace stagepost::smtp_source
