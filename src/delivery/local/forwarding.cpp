#include "delivery/local/forwarding.hpp"

#include <algorithm>

#include "mail/address.hpp"
#include "mail/received.hpp"
#include "queue/attribute_names.hpp"

namespace stagepost::local {
namespace {

namespace attr = queue::attr;
constexpr std::size_t kBatch = 100;
constexpr std::size_t kContentOctets = 64 * 1024;
/// Messages with senders of their own (owner- aliases) that one recipient may make; each occupies a cleanup session.
constexpr std::size_t kMessages = 50;

std::vector<clients::Attribute> attributes_of(const delivery::DeliverRequest& request) {
  std::vector<clients::Attribute> attributes;
  const auto add = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) { attributes.push_back({std::string(name), value}); }
  };
  add(attr::log_client_name, request.client_name);
  add(attr::log_client_address, request.client_address);
  add(attr::log_protocol_name, request.client_protocol);
  add(attr::log_helo_name, request.client_helo);
  if (!request.client_address.empty()) {
    add(attr::log_ident, request.log_ident.empty() ? request.queue_id : request.log_ident);
  }
  add(attr::sasl_method, request.sasl_method);
  add(attr::sasl_username, request.sasl_username);
  add(attr::sasl_sender, request.sasl_sender);
  add(attr::dsn_envid, request.dsn_envid);
  if (request.dsn_ret != 0) { add(attr::dsn_ret, std::to_string(request.dsn_ret)); }
  add(attr::rewrite_context, "local");
  return attributes;
}

}  // namespace

net::Task<Result<Forwarding::Message*>> Forwarding::message_for(std::string sender) {
  const auto found = std::ranges::find(messages_, sender, &Message::sender);
  if (found != messages_.end()) { co_return &*found; }
  if (messages_.size() >= kMessages) { co_return failure("too many owner aliases in one expansion"); }
  const delivery::DeliverRequest& request = attempt_.request();
  clients::CleanupOpen open;
  open.flags = clients::kCleanupBounce | clients::kCleanupMap;
  if (request.smtputf8) { open.flags |= clients::kCleanupSmtpUtf8; }
  open.sender = sender;
  open.attributes = attributes_of(request);
  auto opened = co_await cleanup_.open(std::move(open));
  if (!opened) { co_return failure(opened.error().text, std::errc::io_error); }
  messages_.push_back({std::move(sender), std::move(*opened), {}});
  co_return &messages_.back();
}

net::Task<Result<>> Forwarding::send_batch(Message& message) {
  auto sent = co_await message.submission.add_recipients(std::exchange(message.batch, {}));
  co_return sent;
}

net::Task<Result<>> Forwarding::add(std::string sender, clients::RecipientRecord recipient) {
  auto message = co_await message_for(std::move(sender));
  if (!message) { co_return std::unexpected(std::move(message.error())); }
  (*message)->batch.push_back(std::move(recipient));
  if ((*message)->batch.size() < kBatch) { co_return Result<>{}; }
  auto sent = co_await send_batch(**message);
  co_return sent;
}

net::Task<Result<>> Forwarding::send_content(Message& message) {
  const config::Snapshot& config = attempt_.config();
  const mail::ReceivedBy by{.myhostname = config.text("myhostname"),
                            .mail_name = config.text("mail_name"),
                            .queue_id = message.submission.queue_id(),
                            .when = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now())};
  std::string content = mail::received_internal(by) + "\n";
  if (!delivered_to_.empty()) { content += "Delivered-To: " + mail::quote_822_local(delivered_to_) + "\n"; }
  SP_CO_TRY(attempt_.reader().rewind_content(attempt_.envelope()));
  bool more = true;
  while (more) {
    SP_CO_TRY(more, attempt_.reader().read_content(content, kContentOctets));
    auto sent = co_await message.submission.add_content(std::exchange(content, {}));
    if (!sent) { co_return sent; }
  }
  co_return Result<>{};
}

net::Task<Result<std::optional<Forwarding::Finished>>> Forwarding::finish_one() {
  if (messages_.empty()) { co_return std::nullopt; }
  Message& message = messages_.front();
  auto sent = co_await send_batch(message);
  if (!sent) { co_return std::unexpected(std::move(sent.error())); }
  auto content_sent = co_await send_content(message);
  if (!content_sent) { co_return std::unexpected(std::move(content_sent.error())); }
  auto result = co_await message.submission.finish();
  if (!result) { co_return std::unexpected(std::move(result.error())); }
  Finished finished{message.submission.queue_id(), std::move(*result)};
  messages_.pop_front();
  co_return finished;
}

}  // namespace stagepost::local
