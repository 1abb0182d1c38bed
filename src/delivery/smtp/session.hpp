// One connection to a server: greeting, EHLO, STARTTLS, transactions, QUIT. Does the I/O and keeps the time; what
// replies mean is in transaction.hpp and failure.hpp.
#pragma once

#include <expected>
#include <memory>
#include <optional>
#include <string>

#include "delivery/attempt.hpp"
#include "delivery/smtp/failure.hpp"
#include "delivery/smtp/settings.hpp"
#include "delivery/smtp/transaction.hpp"
#include "mail/ehlo.hpp"
#include "net/buffered_stream.hpp"
#include "tls/context.hpp"

namespace stagepost::smtp_client {

/// Why a session did not become usable.
struct OpenFailure {
  Failure failure;
  /// Opportunistic TLS failed in the handshake: try the same server again without (smtp_tls_security_level = may).
  bool retry_in_plaintext = false;
};

class Session {
 public:
  /// `host` is "name[address]", `relay` the same with ":port" (or the socket's path) for relay= and log lines. The
  /// settings and the policy must outlive it; they are the process's own.
  Session(std::unique_ptr<net::Stream> stream, std::string host, std::string relay, const Settings& settings);

  /// Greeting, EHLO (HELO), STARTTLS as `policy` demands. `server_name` is for SNI. After a failure the session only
  /// serves quit().
  [[nodiscard]] net::Task<std::expected<void, OpenFailure>> open(const tls::ClientPolicy& policy,
                                                                 std::shared_ptr<const tls::ClientContext> context,
                                                                 std::string server_name);

  /// Sends one message to the recipients of `transaction`; it holds their fates afterwards. The connection may be
  /// gone: see usable(). False: the connection, kept since an earlier message, turned out to be gone before the
  /// server took any of it; the transaction is as it was.
  [[nodiscard]] net::Task<bool> transact(Transaction& transaction, delivery::Attempt& attempt, bool convert_to_7bit);

  /// Says goodbye and closes; with smtp_skip_quit_response without waiting for the answer.
  [[nodiscard]] net::Task<> quit();

  [[nodiscard]] bool usable() const { return usable_; }
  [[nodiscard]] const smtp::Capabilities& server() const { return server_; }
  [[nodiscard]] const std::string& host() const { return host_; }
  [[nodiscard]] const std::string& relay() const { return relay_; }

  // For the connection cache.
  SteadyClock::time_point created = SteadyClock::now();
  std::size_t uses = 0;

 private:
  [[nodiscard]] net::Task<std::expected<smtp::ServerReply, Failure>> read_reply(Step step, Deadline deadline);
  [[nodiscard]] net::Task<std::expected<smtp::ServerReply, Failure>> command(std::string line, Step step,
                                                                             std::chrono::seconds timeout);
  [[nodiscard]] net::Task<std::expected<void, Failure>> greet();
  [[nodiscard]] net::Task<std::expected<void, Failure>> say_hello(bool esmtp);
  [[nodiscard]] net::Task<std::expected<void, OpenFailure>> start_tls(const tls::ClientPolicy& policy,
                                                                      std::shared_ptr<const tls::ClientContext> context,
                                                                      std::string server_name);
  [[nodiscard]] net::Task<std::optional<Failure>> send_content(delivery::Attempt& attempt, bool convert_to_7bit);
  /// RSET; false when the session is not good any more.
  [[nodiscard]] net::Task<bool> reset();
  /// Sees whether a kept session still lives, before the next message: RSET, which leaves together with the message's
  /// first commands where the server allows that (RFC 2920).
  [[nodiscard]] net::Task<bool> wake(Transaction& transaction);
  void append_commands(Transaction& transaction);
  [[nodiscard]] std::chrono::seconds timeout_of(Step step) const;

  net::BufferedStream stream_;
  std::string host_;
  std::string relay_;
  const Settings& settings_;
  smtp::Capabilities server_;
  bool server_speaks_esmtp_ = true;
  bool usable_ = true;
};

}  // namespace stagepost::smtp_client
