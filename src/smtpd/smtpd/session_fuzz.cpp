// A whole session against any client: the real dialogue, restrictions and content decoder, with cleanup,
// trivial-rewrite and anvil in memory (fake_services.hpp). An input is a client's bytes with three octets before them
// (what is configured, what the services answer, how the bytes are cut) and marks between them: where the client waits
// for replies, is silent too long, or is gone. What must hold whatever a client says is checked here, with means of its
// own.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/assert.hpp"
#include "base/safe_text.hpp"
#include "log/log.hpp"
#include "net/event_loop.hpp"
#include "net/stream.hpp"
#include "smtpd/smtpd/fake_services.hpp"
#include "smtpd/smtpd/session.hpp"

namespace {

using namespace stagepost;
using smtpd::Policy;
using Status = clients::CleanupResult::Status;

constexpr std::size_t kInputBytes = 64 * 1024;
constexpr std::string_view kQueued = " queued as ";

struct Mode {
  std::string_view main_cf;
  /// The client must wait where SMTP says so: then the octet after "354" is known to be the first of the content.
  bool waits = true;
};
constexpr std::array kModes{
    Mode{.main_cf = ""},
    Mode{.main_cf = "smtpd_forbid_bare_newline = reject\n"},
    Mode{.main_cf = "smtpd_forbid_bare_newline = no\nsmtpd_forbid_unauth_pipelining = no\n", .waits = false},
    Mode{.main_cf = "smtpd_forbid_unauth_pipelining = no\nline_length_limit = 512\n", .waits = false},
    Mode{.main_cf = "strict_rfc821_envelopes = yes\nsmtpd_helo_required = yes\nsmtpd_delay_reject = no\n"
                    "smtpd_tls_security_level = may\nsmtpd_soft_error_limit = 1\nsmtpd_hard_error_limit = 4\n"
                    "smtpd_junk_command_limit = 2\nsmtpd_recipient_limit = 2\nsmtpd_recipient_overshoot_limit = 1\n"
                    "smtpd_helo_restrictions = reject_invalid_helo_hostname, reject_non_fqdn_helo_hostname\n"
                    "smtpd_sender_restrictions = reject_non_fqdn_sender, reject_unknown_sender_domain\n"
                    "smtpd_data_restrictions = reject_unauth_pipelining, reject_multi_recipient_bounce\n"},
    Mode{.main_cf = "smtpd_recipient_restrictions = check_recipient_access inline:{ {user@ours.test=DISCARD} "
                    "{box@virtual.test=HOLD} {r@x.relay.test=REDIRECT a@b.test} {x@ours.test=PREPEND X-A: b} "
                    "{y@ours.test=DEFER_IF_PERMIT} {z@ours.test=450 4.7.1 later} }\nrelay_domains = relay.test\n"
                    "local_recipient_maps =\nmessage_size_limit = 100\n"},
    Mode{.main_cf = "soft_bounce = yes\nsmtputf8_enable = no\nsmtpd_discard_ehlo_keywords = chunking, dsn\n"
                    "disable_vrfy_command = yes\nsmtpd_noop_commands = HELP\nsmtpd_per_request_deadline = yes\n"},
};

/// What happened between client and server, as seen from the wire.
struct Wire {
  std::string_view input;          ///< marks included
  std::size_t position = 0;        ///< of the next octet of `input`
  std::size_t piece_bytes = 1024;  ///< the most that one read gives
  std::size_t writable_bytes = ~std::size_t{0};
  std::string sent;      ///< what the server has read
  std::string received;  ///< what the server has written
  std::size_t lines_sent = 0;
  std::size_t content_start = 0;  ///< in `sent`, when the last reply was 354
  bool gone = false;
  bool timed_out = false;
  bool closed = false;
};

/// Marks in the input.
enum Mark : char { kWait = 1, kTimeout = 2, kReset = 3, kLiteral = 4 };

class FuzzStream final : public net::Stream {
 public:
  explicit FuzzStream(Wire& wire) : wire_(wire) {}

  net::Task<Result<std::size_t>> read_some(std::span<char> buffer, Deadline deadline) override {
    std::string bytes;
    auto n = co_await append_some(bytes, buffer.size(), deadline);
    std::ranges::copy(bytes, buffer.begin());
    co_return n;
  }

  net::Task<Result<std::size_t>> append_some(std::string& target, std::size_t limit_bytes, Deadline) override {
    SP_ASSERT(!wire_.closed);
    if (wire_.gone) { co_return std::size_t{0}; }
    std::size_t n = 0;
    while (n < std::min(limit_bytes, wire_.piece_bytes) && wire_.position < wire_.input.size()) {
      char c = wire_.input[wire_.position];
      if (c == kWait || c == kTimeout || c == kReset) {
        if (c == kWait || n == 0) { ++wire_.position; }
        if (n > 0) { break; }
        if (c == kWait) { continue; }
        if (c == kReset) {
          wire_.gone = true;
          co_return failure("read", std::errc::connection_reset);
        }
        wire_.timed_out = true;
        co_return failure("read", std::errc::timed_out);
      }
      ++wire_.position;
      if (c == kLiteral && wire_.position < wire_.input.size()) { c = wire_.input[wire_.position++]; }
      target += c;
      wire_.sent += c;
      if (c == '\n') { ++wire_.lines_sent; }
      ++n;
    }
    if (n == 0) { wire_.gone = true; }
    co_return n;
  }

  net::Task<Result<>> write_all(std::string_view bytes, Deadline) override {
    SP_ASSERT(!wire_.closed && !bytes.empty());
    if (wire_.received.size() + bytes.size() > wire_.writable_bytes) {
      co_return failure("write", std::errc::broken_pipe);
    }
    wire_.received += bytes;
    wire_.content_start = wire_.sent.size();
    co_return Result<>{};
  }

  void cancel() override {}
  void close() override { wire_.closed = true; }
  [[nodiscard]] int native_handle() const override { return -1; }

 private:
  Wire& wire_;
};

/// The client's content up to CRLF.CRLF, from the octets alone; nullopt when that never came.
std::optional<std::string_view> content_on_the_wire(const Wire& wire) {
  const std::string_view rest = std::string_view(wire.sent).substr(wire.content_start);
  if (rest.starts_with(".\r\n")) { return rest.substr(0, 0); }
  const std::size_t end = rest.find("\r\n.\r\n");
  if (end == std::string_view::npos) { return std::nullopt; }
  return rest.substr(0, end);
}

/// What line ends and dot-stuffing cannot change.
std::string without_ends_and_dots(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c != '\r' && c != '\n' && c != '.') { out += c; }
  }
  return out;
}

/// cleanup, in memory: a message that is about to be queued is compared with what the client really sent.
class FuzzServices final : public smtpd::Services {
 public:
  FuzzServices(const Wire& wire, const Mode& mode, const Policy& policy) : wire_(wire), mode_(mode), policy_(policy) {}

  smtpd::FakeServices fake;
  std::size_t opened = 0;
  std::size_t ended = 0;
  std::size_t committed = 0;
  std::size_t accepted = 0;
  std::size_t asleep = 0;
  bool content_fails = false;
  bool excluded = false;  ///< the client is in smtpd_forbid_bare_newline_exclusions: LF.LF ends its message too

  [[nodiscard]] net::Task<Result<clients::ResolveReply>> resolve(std::string sender, std::string recipient) override {
    return fake.resolve(std::move(sender), std::move(recipient));
  }
  [[nodiscard]] net::Task<dns::Answer> dns(std::string name, dns::Type type) override {
    return fake.dns(std::move(name), type);
  }
  [[nodiscard]] net::Task<> sleep(std::chrono::seconds) override {
    ++asleep;
    co_return;
  }
  [[nodiscard]] net::Task<dns::ClientName> client_name(net::IpAddress address) override {
    return fake.client_name(address);
  }
  [[nodiscard]] net::Task<Result<clients::FlushReply::Status>> flush_site(std::string site) override {
    SP_ASSERT(!site.empty());
    return fake.flush_site(std::move(site));
  }
  void count(clients::AnvilEvent::What event, const std::string& address) override { fake.count(event, address); }
  [[nodiscard]] Result<std::uint64_t> queue_free_bytes() override { return fake.queue_free_bytes(); }
  [[nodiscard]] std::shared_ptr<const tls::ServerContext> tls() override { return nullptr; }

  [[nodiscard]] net::Task<Opened> open_message(clients::CleanupOpen request) override {
    // One message at a time: the one before was ended.
    SP_ASSERT(opened == ended);
    SP_ASSERT(request.sender.find_first_of(std::string_view("\0\r\n", 3)) == std::string::npos);
    for (const auto& attribute : request.attributes) {
      SP_ASSERT(attribute.value.find_first_of(std::string_view("\0\r\n", 3)) == std::string::npos);
    }
    auto message = co_await fake.open_message(std::move(request));
    if (!message) { co_return std::unexpected(message.error()); }
    ++opened;
    co_return Opened(std::make_unique<CheckedSink>(*this, std::move(*message)));
  }

 private:
  class CheckedSink final : public smtpd::MessageSink {
   public:
    CheckedSink(FuzzServices& owner, std::unique_ptr<smtpd::MessageSink> inner)
        : owner_(owner), inner_(std::move(inner)) {}
    // Dropped without a word, the message would stay with cleanup until the connection ends.
    ~CheckedSink() override { SP_ASSERT(ended_); }

    [[nodiscard]] const std::string& queue_id() const override { return inner_->queue_id(); }
    [[nodiscard]] net::Task<Result<>> add_recipients(std::vector<clients::RecipientRecord> recipients) override {
      SP_ASSERT(!ended_);
      for (const auto& recipient : recipients) {
        SP_ASSERT(!recipient.address.empty());
        SP_ASSERT(recipient.address.find_first_of(std::string_view("\0\r\n", 3)) == std::string::npos);
        SP_ASSERT(recipient.dsn_original.find_first_of(std::string_view("\0\r\n", 3)) == std::string::npos);
      }
      return inner_->add_recipients(std::move(recipients));
    }
    [[nodiscard]] net::Task<Result<>> add_content(std::string bytes) override {
      SP_ASSERT(!ended_ && !bytes.empty());
      content_bytes_ += bytes.size();
      if (owner_.content_fails) { co_return failure("write", std::errc::broken_pipe); }
      auto added = co_await inner_->add_content(std::move(bytes));
      co_return added;
    }
    [[nodiscard]] net::Task<Result<clients::CleanupResult>> finish(clients::CleanupEnd end) override {
      SP_ASSERT(!ended_);
      ended_ = true;
      ++owner_.ended;
      if (end.commit) { owner_.on_commit(); }
      const bool commit = end.commit;
      auto result = co_await inner_->finish(std::move(end));
      if (commit && (result->status == Status::ok || result->status == Status::discarded)) { ++owner_.accepted; }
      co_return result;
    }

   private:
    FuzzServices& owner_;
    std::unique_ptr<smtpd::MessageSink> inner_;
    std::size_t content_bytes_ = 0;
    bool ended_ = false;
  };

  void on_commit() {
    ++committed;
    SP_ASSERT(!content_fails);
    const smtpd::RecordedMessage& message = *fake.messages.back();
    SP_ASSERT(!message.recipients.empty());
    SP_ASSERT(message.recipients.size() <= policy_.settings.recipient_limit);
    // Received: and prepended lines are ours, the rest can only be what came over the wire.
    SP_ASSERT(message.content.size() <= wire_.sent.size() + 2000 + policy_.settings.line_length_limit);
    const bool data = wire_.received.ends_with("354 End data with <CR><LF>.<CR><LF>\r\n");
    if (!data || !mode_.waits || excluded) { return; }
    const auto content = content_on_the_wire(wire_);
    SP_ASSERT(content.has_value());
    SP_ASSERT(without_ends_and_dots(message.content).ends_with(without_ends_and_dots(*content)));
    if (policy_.settings.bare_newline == mail::BareNewline::reject) {
      for (std::size_t i = content->find('\n'); i != std::string_view::npos; i = content->find('\n', i + 1)) {
        SP_ASSERT(i > 0 && (*content)[i - 1] == '\r');
      }
    }
  }

  const Wire& wire_;
  const Mode& mode_;
  const Policy& policy_;
};

/// Replies as RFC 5321 §4.2 has them; returns how many there are and counts those that promise delivery.
std::size_t check_replies(std::string_view written, std::size_t& promises) {
  std::size_t replies = 0;
  std::string_view code;  // of the reply that has begun
  std::string_view last;
  while (!written.empty()) {
    const std::size_t end = written.find("\r\n");
    SP_ASSERT(end != std::string_view::npos);
    const std::string_view line = written.substr(0, end);
    written.remove_prefix(end + 2);
    SP_ASSERT(line.size() >= 4 && line[0] >= '2' && line[0] <= '5' && line[1] >= '0' && line[1] <= '5' &&
              line[2] >= '0' && line[2] <= '9' && (line[3] == ' ' || line[3] == '-'));
    SP_ASSERT(code.empty() || code == line.substr(0, 3));
    for (const char c : line) { SP_ASSERT(static_cast<unsigned char>(c) >= 32 && c != 127); }
    // Nothing follows the reply that ends a session.
    SP_ASSERT(last != "221" && last != "421");
    code = line.substr(0, 3);
    if (line[3] == '-') { continue; }
    ++replies;
    if (code == "250" && line.find(kQueued) != std::string_view::npos) { ++promises; }
    last = std::exchange(code, {});
  }
  SP_ASSERT(code.empty());
  return replies;
}

const Policy& policy_of(std::size_t mode) {
  static const auto kPolicies = [] {
    std::array<std::shared_ptr<const Policy>, kModes.size()> policies;
    for (std::size_t i = 0; i < kModes.size(); ++i) {
      policies[i] = smtpd::test_policy(std::string(kModes[i].main_cf));
    }
    // The defences are on unless somebody turns them off.
    SP_ASSERT(policies[0]->settings.bare_newline == mail::BareNewline::normalize);
    SP_ASSERT(policies[0]->settings.forbid_unauth_pipelining);
    return policies;
  }();
  return *kPolicies[mode];
}

net::Task<> converse(smtpd::Services& services, std::shared_ptr<const Policy> policy, Wire& wire, std::string address) {
  smtpd::Client client;
  client.address = std::move(address);
  client.port = "4711";
  smtpd::Session session(services, std::move(policy), std::make_unique<FuzzStream>(wire), std::move(client));
  co_await session.run();
}

struct Outcome {
  std::string received;
  std::size_t accepted = 0;
};

Outcome run_session(std::string_view head, std::string_view input, std::size_t piece_bytes) {
  static net::EventLoop loop;
  const auto configured = static_cast<unsigned char>(head[0]);
  const auto answers = static_cast<unsigned char>(head[1]);
  const std::size_t mode = (configured & 15U) % kModes.size();
  const Policy& policy = policy_of(mode);
  Wire wire{.input = input, .piece_bytes = piece_bytes};
  FuzzServices services(wire, kModes[mode], policy);
  // Every answer a service can give; '@' is the friendly one for all of them.
  services.fake.result.status = static_cast<Status>((answers & 15U) % (static_cast<unsigned>(Status::kLast) + 1));
  if ((answers & 16U) != 0) { services.fake.refuse_open = {.text = "no", .full = (answers & 1U) != 0}; }
  if ((answers & 32U) != 0) { services.fake.fail_resolve = true; }
  if ((answers & 128U) != 0) { services.content_fails = true; }
  if ((configured & 32U) != 0) { services.fake.free_bytes = 1400; }
  if ((configured & 128U) != 0) { wire.writable_bytes = static_cast<unsigned char>(head[2]) * std::size_t{8}; }
  services.excluded = (configured & 16U) != 0;
  const std::string address = services.excluded ? "192.0.2.1" : "198.51.100.7";
  // Neither copied nor freed: the policies live as long as the process.
  loop.run_task(converse(services, std::shared_ptr<const Policy>(std::shared_ptr<void>(), &policy), wire, address));

  SP_ASSERT(wire.closed);
  SP_ASSERT(services.opened == services.ended);
  std::size_t promises = 0;
  const std::size_t replies = check_replies(wire.received, promises);
  // The greeting, one reply for each line, and the 421 of too many errors or of a timeout.
  SP_ASSERT(replies <= wire.lines_sent + 2);
  // 250 is said for what cleanup has taken, or for what an administrator lets vanish.
  const std::size_t discarded =
      policy.lists[static_cast<std::size_t>(smtpd::Stage::recipient)].empty() ? 0 : services.opened;
  SP_ASSERT(promises <= services.accepted + discarded);
  if (wire.writable_bytes == ~std::size_t{0} && !wire.gone) { SP_ASSERT(promises >= services.accepted); }
  using Event = clients::AnvilEvent::What;
  // Clients of mynetworks are in smtpd_client_event_limit_exceptions too: nothing is counted.
  const auto times = [&](Event event) {
    return static_cast<std::size_t>(std::ranges::count(services.fake.events, event));
  };
  const std::size_t sessions = services.excluded ? 0 : 1;
  SP_ASSERT(times(Event::connect) == sessions);
  SP_ASSERT(times(Event::disconnect) == sessions);
  SP_ASSERT(times(Event::message) == sessions * services.opened);
  return {.received = std::move(wire.received), .accepted = services.accepted};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (size < 3 || size > kInputBytes) { return 0; }
  static const bool kCaptured = [] {
    log::capture([](log::Level, std::string_view line) {
      for (const char c : line) { SP_ASSERT(static_cast<unsigned char>(c) >= 32 && c != 127); }
    });
    return true;
  }();
  SP_ASSERT(kCaptured);
  const std::string_view head = bytes.substr(0, 3);
  const std::string_view input = bytes.substr(3);
  const auto cut = static_cast<unsigned char>(head[2]);
  const Outcome outcome = run_session(head, input, (cut & 63U) == 0 ? kInputBytes : (cut & 63U));
  // Where a client may send when it likes, the answers do not depend on how the network cuts its bytes.
  const Mode& mode = kModes[(static_cast<unsigned char>(head[0]) & 15U) % kModes.size()];
  if (!mode.waits && (static_cast<unsigned char>(head[0]) & 128U) == 0) {
    const Outcome again = run_session(head, input, 1);
    SP_ASSERT(again.received == outcome.received && again.accepted == outcome.accepted);
  }
  return 0;
}
