// The part of a session that takes the message itself: opening the queue file, DATA, BDAT, and the final reply.
#include <chrono>

#include <fmt/format.h>

#include "log/log.hpp"
#include "mail/received.hpp"
#include "queue/attribute_names.hpp"
#include "smtpd/smtpd/session.hpp"

namespace stagepost::smtpd {
namespace {

using clients::CleanupResult;
using smtp::Reply;
namespace attr = queue::attr;

Reply make_reply(int code, std::string_view enhanced, std::string text) {
  return {.code = code, .enhanced = std::string(enhanced), .text = std::move(text)};
}

std::string received_address(const Client& client) {
  return client.family == net::Family::ipv6 ? "IPv6:" + client.address : client.address;
}

mail::ReceivedTls received_tls(const tls::SessionInfo& info) {
  using Trust = mail::ReceivedTls::Trust;
  mail::ReceivedTls tls{.protocol = info.protocol,
                        .cipher = info.cipher,
                        .cipher_bits_used = info.cipher_bits_used,
                        .cipher_bits_available = info.cipher_bits_available,
                        .key_exchange = info.key_exchange,
                        .server_signature = info.server_signature,
                        .server_digest = info.server_digest,
                        .client_signature = info.client_signature,
                        .client_digest = info.client_digest,
                        .peer_cn = info.peer_cn,
                        .issuer_cn = info.issuer_cn,
                        .trust = Trust::none_requested};
  if (info.peer_certificate) {
    tls.trust =
        info.trust == tls::Trust::trusted || info.trust == tls::Trust::verified ? Trust::verified : Trust::not_verified;
  } else if (info.certificate_requested) {
    tls.trust = Trust::not_presented;
  }
  return tls;
}

/// RFC 3848, RFC 6531 §4.3.
std::string with_protocol(std::string_view protocol, bool tls, bool smtputf8) {
  std::string name = smtputf8 ? "UTF8SMTP" : std::string(protocol);
  if (tls) { name += 'S'; }
  return name;
}

}  // namespace

net::Task<std::optional<Reply>> Session::open_message() {
  Transaction& t = *transaction_;
  if (t.message) { co_return std::nullopt; }
  bool local = true;
  if (settings().restricted()) {
    const bool permitted =
        co_await is_permitted(*policy_, services_, access_request(), policy_->local_header_rewrite_clients);
    local = permitted;
  }
  clients::CleanupOpen open;
  open.flags = settings().cleanup_flags;
  if (t.smtputf8) { open.flags |= clients::kCleanupSmtpUtf8; }
  open.sender = t.sender;
  open.verp_delimiters = t.verp_delimiters;
  const auto add = [&](std::string_view name, std::string value) {
    open.attributes.push_back({std::string(name), std::move(value)});
  };
  const std::string helo = dialogue_.helo();
  add(attr::rewrite_context, local ? "local" : "remote");
  if (!t.envid.empty()) { add(attr::dsn_envid, t.envid); }
  if (t.ret != dsn::Ret::none) { add(attr::dsn_ret, std::to_string(static_cast<unsigned>(t.ret))); }
  if (t.body != smtp::Body::unspecified) {
    add(attr::encoding, t.body == smtp::Body::eight_bit_mime ? "8bit" : "7bit");
  }
  add(attr::log_client_name, client_.name);
  add(attr::log_client_address, client_.address);
  add(attr::log_client_port, client_.port);
  add(attr::log_message_origin, fmt::format("{}[{}]", client_.name, client_.address));
  if (!helo.empty()) { add(attr::log_helo_name, helo); }
  add(attr::log_protocol_name, std::string(dialogue_.protocol()));
  add(attr::client_name, client_.name);
  add(attr::reverse_client_name, client_.reverse_name);
  add(attr::client_address, client_.address);
  add(attr::client_port, client_.port);
  add(attr::server_address, client_.server_address);
  add(attr::server_port, client_.server_port);
  if (!helo.empty()) { add(attr::helo_name, helo); }
  add(attr::protocol_name, std::string(dialogue_.protocol()));
  add(attr::client_address_type, client_.family == net::Family::ipv6 ? "10" : "2");

  auto opened = co_await services_.open_message(std::move(open));
  if (!opened) {
    log::warning("queue file: {}", opened.error().text);
    if (opened.error().full) { co_return make_reply(452, "4.3.1", "Insufficient system storage"); }
    co_return make_reply(451, "4.3.0", "Error: queue file write error");
  }
  t.message = std::move(*opened);
  count(clients::AnvilEvent::What::message);
  log::info("{}: client={}", t.message->queue_id(), client_.label);
  co_return std::nullopt;
}

net::Task<bool> Session::may_send_bare_newlines() {
  if (!settings().restricted() || settings().bare_newline == mail::BareNewline::allow) { co_return true; }
  const auto excluded = co_await policy_->bare_newline_exclusions.matches({client_.name, client_.address});
  co_return excluded.has_value() && *excluded;
}

/// DATA and the first BDAT: restrictions, then what stands before the client's own text.
net::Task<std::optional<Reply>> Session::start_content() {
  Transaction& t = *transaction_;
  std::optional<Reply> refusal = co_await decide({Stage::data}, where_);
  if (refusal) { co_return refusal; }
  const bool bare = co_await may_send_bare_newlines();
  mail::DecoderOptions options{
      .dots = where_ == "BDAT" ? mail::DecoderOptions::Dots::plain : mail::DecoderOptions::Dots::smtp,
      .bare_newline = bare ? mail::BareNewline::allow : settings().bare_newline,
      .crlf = true,
      .line_length_limit = settings().line_length_limit};
  t.decoder = std::make_unique<mail::ContentDecoder>(options);
  t.content_started = true;
  if (t.effects.discard) { co_return std::nullopt; }

  for (const std::string& field : t.effects.prepend) { t.pending += field + '\n'; }
  const std::string address = received_address(client_);
  const std::string protocol = with_protocol(dialogue_.protocol(), dialogue_.tls_active(), t.smtputf8);
  mail::ReceivedFromClient from{.helo = dialogue_.helo().empty() ? client_.name : dialogue_.helo(),
                                .reverse_name = client_.name,
                                .address = address,
                                .sasl_username = std::nullopt,
                                .tls = std::nullopt};
  if (settings().tls_received_header && tls_info_) { from.tls = received_tls(*tls_info_); }
  mail::ReceivedBy by{.myhostname = settings().myhostname,
                      .mail_name = settings().mail_name,
                      .protocol = protocol,
                      .queue_id = t.message->queue_id(),
                      .recipient = std::nullopt,
                      .when = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now())};
  if (t.recipients == 1) { by.recipient = t.first_recipient; }
  t.pending += mail::received_from_client(from, by) + '\n';
  co_return std::nullopt;
}

/// Hands the collected text on. A failure is remembered and answered at the end, because the client can't be stopped
/// in the middle of DATA.
net::Task<> Session::pass_on() {
  Transaction& t = *transaction_;
  std::string bytes = std::exchange(t.pending, {});
  if (bytes.empty() || t.sink_failed || t.too_large || t.effects.discard) { co_return; }
  const auto added = co_await t.message->add_content(std::move(bytes));
  if (!added) {
    log::warning("{}: {}", queue_id_or_none(), added.error().message());
    t.sink_failed = true;
  }
}

void Session::take_line(mail::Line line) {
  Transaction& t = *transaction_;
  t.size_bytes += line.text.size() + (line.end == mail::LineEnd::complete ? 2 : 0);
  if (settings().message_size_limit > 0 && t.size_bytes > settings().message_size_limit) { t.too_large = true; }
  if (t.too_large || t.sink_failed || t.effects.discard) {
    t.pending.clear();
    return;
  }
  t.pending += line.text;
  if (line.end == mail::LineEnd::complete) { t.pending += '\n'; }
}

/// A slow client gets more time as long as it keeps up smtpd_min_data_rate.
Deadline Session::content_deadline(SteadyClock::time_point start) const {
  if (!settings().per_request_deadline) { return request_deadline(); }
  return Deadline(start + settings().timeout +
                  std::chrono::seconds(transaction_->size_bytes / settings().min_data_rate));
}

net::Task<Result<>> Session::receive_data() {
  const auto start = SteadyClock::now();
  while (!transaction_->decoder->ended()) {
    const auto bytes = co_await io_.peek(content_deadline(start));
    if (!bytes) { co_return std::unexpected(bytes.error()); }
    transaction_->pending.reserve(transaction_->pending.size() + bytes->size());
    const std::size_t used = transaction_->decoder->feed(*bytes, [this](mail::Line line) { take_line(line); });
    io_.consume(used);
    if (transaction_->pending.size() >= kContentBytes) { co_await pass_on(); }
  }
  co_return Result<>{};
}

net::Task<Result<>> Session::receive_chunk(std::uint64_t size_bytes, bool keep) {
  const auto start = SteadyClock::now();
  while (size_bytes > 0) {
    const Deadline deadline = transaction_ ? content_deadline(start) : request_deadline();
    const auto bytes = co_await io_.peek(deadline);
    if (!bytes) { co_return std::unexpected(bytes.error()); }
    const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(size_bytes, bytes->size()));
    if (keep) {
      transaction_->decoder->feed(bytes->substr(0, part), [this](mail::Line line) { take_line(line); });
    }
    io_.consume(part);
    size_bytes -= part;
    if (keep && transaction_->pending.size() >= kContentBytes) { co_await pass_on(); }
  }
  co_return Result<>{};
}

net::Task<Session::Flow> Session::on_data() {
  std::optional<Reply> refusal = co_await start_content();
  if (refusal) {
    Flow refused = co_await reply(std::move(*refusal));
    co_return refused;
  }
  const Flow sent = co_await reply(make_reply(354, "", "End data with <CR><LF>.<CR><LF>"));
  if (sent == Flow::close) { co_return Flow::close; }
  const auto flushed = co_await io_.flush(request_deadline());
  if (!flushed) {
    Flow closed = co_await close_after(flushed.error());
    co_return closed;
  }
  const auto received = co_await receive_data();
  if (!received) {
    Flow closed = co_await close_after(received.error());
    co_return closed;
  }
  Flow flow = co_await finish_message("");
  co_return flow;
}

net::Task<Session::Flow> Session::on_chunk(Chunk chunk) {
  bool keep = !chunk.refusal;
  if (keep && !transaction_->content_started) {
    chunk.refusal = co_await start_content();
    keep = !chunk.refusal;
  }
  if (keep) {
    dialogue_.bdat_accepted();
  } else {
    dialogue_.bdat_failed();
  }
  // RFC 3030 §2: the chunk is read before the reply, also when it is not wanted.
  if (!complete_line_buffered()) {
    const auto flushed = co_await io_.flush(request_deadline());
    if (!flushed) {
      Flow closed = co_await close_after(flushed.error());
      co_return closed;
    }
  }
  const auto received = co_await receive_chunk(chunk.size_bytes, keep);
  if (!received) {
    Flow closed = co_await close_after(received.error());
    co_return closed;
  }
  if (chunk.refusal) {
    // RFC 3030 §3: with the last chunk the transaction is over, also a failed one.
    if (chunk.last) {
      dialogue_.reset();
      co_await end_transaction();
    }
    Flow refused = co_await reply(std::move(*chunk.refusal));
    co_return refused;
  }
  Transaction& t = *transaction_;
  t.chunk_bytes += chunk.size_bytes;
  if (!chunk.last) {
    if (t.too_large) {
      dialogue_.bdat_failed();
      Flow refused = co_await reply(reply_for({.status = CleanupResult::Status::too_large, .code = {}, .text = {}}));
      co_return refused;
    }
    Flow flow = co_await reply(make_reply(250, "2.0.0", fmt::format("Ok: {} bytes", chunk.size_bytes)));
    co_return flow;
  }
  t.decoder->finish([this](mail::Line line) { take_line(line); });
  Flow flow = co_await finish_message(fmt::format("{} bytes ", t.chunk_bytes));
  co_return flow;
}

net::Task<Session::Flow> Session::finish_message(std::string_view ok_prefix) {
  co_await pass_on();
  Transaction& t = *transaction_;
  std::optional<Reply> refusal;
  const mail::ContentReport& report = t.decoder->report();
  if (report.bare_lf && settings().bare_newline == mail::BareNewline::reject) {
    const bool allowed = co_await may_send_bare_newlines();
    if (!allowed) {
      refusal = make_reply(settings().bare_newline_reject_code,
                           settings().bare_newline_reject_code >= 500 ? "5.5.2" : "4.5.2",
                           settings().myhostname + " Error: bare <LF> received");
      log_reject("END-OF-MESSAGE", *refusal);
    }
  } else if (report.bare_lf && settings().bare_newline == mail::BareNewline::note) {
    log::info("{}: bare <LF> received from {}", queue_id_or_none(), client_.label);
  }
  if (!refusal) { refusal = co_await decide({Stage::end_of_data}, "END-OF-MESSAGE"); }
  const std::string queue_id = t.message->queue_id();
  if (!refusal && t.sink_failed) {
    refusal = reply_for({.status = CleanupResult::Status::write_error, .code = {}, .text = {}});
  }
  if (!refusal && t.too_large) {
    refusal = reply_for({.status = CleanupResult::Status::too_large, .code = {}, .text = {}});
  }
  if (!refusal && !t.effects.discard) {
    clients::CleanupEnd end{.commit = true,
                            .hold = t.effects.hold,
                            .filter = t.effects.filter,
                            .redirect = t.effects.redirect,
                            .bcc = t.effects.bcc};
    const auto result = co_await t.message->finish(std::move(end));
    t.message.reset();
    if (!result) {
      log::warning("{}: {}", queue_id, result.error().message());
      refusal = reply_for({.status = CleanupResult::Status::write_error, .code = {}, .text = {}});
    } else if (result->status != CleanupResult::Status::ok && result->status != CleanupResult::Status::discarded) {
      refusal = reply_for(*result);
    }
  }
  dialogue_.reset();
  co_await end_transaction();
  where_ = kEndOfMessage;
  if (refusal) {
    Flow refused = co_await reply(std::move(*refusal));
    co_return refused;
  }
  errors_ = 0;
  junk_ = 0;
  Flow flow = co_await reply(make_reply(250, "2.0.0", fmt::format("Ok: {}queued as {}", ok_prefix, queue_id)));
  co_return flow;
}

}  // namespace stagepost::smtpd
