// For tests of tables that ask a server: a loop, and servers of the test on UNIX sockets in a directory of its own.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <sys/un.h>

#include <gtest/gtest.h>

#include "base/unique_fd.hpp"
#include "maps/table_fixture.hpp"
#include "net/event_loop.hpp"
#include "net/socket_stream.hpp"
#include "net/task_group.hpp"

namespace stagepost::maps {

class Listening : public Tables {
 protected:
  Listening() { context_.loop = &loop_; }

  /// What a server does with one connection; `number` counts them from 1.
  using Serve = std::function<net::Task<>(std::unique_ptr<net::Stream> stream, int number)>;

  /// Runs `body`; meanwhile `serve` answers at the socket `name`.
  void run(std::string_view name, const Serve& serve, const std::function<net::Task<>()>& body) {
    loop_.run_task(run_both(std::string(name), serve, body));
  }

  net::Task<std::string> ask(Table& in, std::string key) {
    auto found = co_await in.find(std::move(key));
    co_return !found ? "!" + query_error(in, std::move(found).error()).message() : found->value_or("-");
  }

  net::EventLoop loop_;
  int connections_ = 0;

 private:
  net::Task<> run_both(std::string name, Serve serve, std::function<net::Task<>()> body) {
    auto listener = net::Listener::create(loop_, listen_at(path(name)));
    if (!listener) {
      ADD_FAILURE() << listener.error().message();
      co_return;
    }
    net::TaskGroup server(loop_, "server", 100);
    server.spawn(accept_all(*listener, serve, server));
    co_await body();
    co_await server.cancel_and_join();
  }

  net::Task<> accept_all(net::Listener& listener, const Serve& serve, net::TaskGroup& server) {
    for (;;) {
      auto connection = co_await listener.accept();
      if (!connection) { co_return; }
      server.spawn(serve(std::move(connection->stream), ++connections_));
    }
  }

  static unique_fd listen_at(const std::string& path) {
    ::unlink(path.c_str());
    unique_fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(socket.get(), 50), 0);
    return socket;
  }
};

}  // namespace stagepost::maps
