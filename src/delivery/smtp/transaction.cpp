#include "delivery/smtp/transaction.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/assert.hpp"
#include "mail/address.hpp"
#include "mail/dsn.hpp"
#include "queue/message_reader.hpp"

namespace stagepost::smtp_client {
namespace {

std::string path(const std::string& internal, bool quote) {
  if (internal.empty()) { return "<>"; }
  return fmt::format("<{}>", quote ? mail::quote_821_local(internal) : internal);
}

}  // namespace

std::string mail_command(const Envelope& envelope, const smtp::Capabilities& server, bool quote) {
  std::string command = "MAIL FROM:" + path(envelope.sender, quote);
  if (server.has(smtp::Feature::size) && envelope.size_bytes > 0) {
    command += fmt::format(" SIZE={}", envelope.size_bytes);
  }
  if (server.has(smtp::Feature::eight_bit_mime) && envelope.eight_bit) { command += " BODY=8BITMIME"; }
  if (server.has(smtp::Feature::dsn)) {
    if (!envelope.dsn_envid.empty()) { command += " ENVID=" + dsn::xtext_encode(envelope.dsn_envid); }
    if (envelope.dsn_ret == queue::kRetFull) { command += " RET=FULL"; }
    if (envelope.dsn_ret == queue::kRetHeaders) { command += " RET=HDRS"; }
  }
  if (server.has(smtp::Feature::smtputf8) && envelope.smtputf8) { command += " SMTPUTF8"; }
  return command;
}

std::string rcpt_command(const EnvelopeRecipient& recipient, const smtp::Capabilities& server, bool quote) {
  std::string command = "RCPT TO:" + path(recipient.address, quote);
  if (!server.has(smtp::Feature::dsn)) { return command; }
  const auto semicolon = recipient.dsn_original.find(';');
  if (semicolon != std::string::npos) {
    command += fmt::format(" ORCPT={};{}", recipient.dsn_original.substr(0, semicolon),
                           dsn::xtext_encode(std::string_view(recipient.dsn_original).substr(semicolon + 1)));
  }
  if (const auto notify = static_cast<dsn::Notify>(recipient.notify); notify != dsn::Notify::none) {
    command += " NOTIFY=" + dsn::format_notify(notify);
  }
  return command;
}

Transaction::Transaction(Envelope envelope, const smtp::Capabilities& server, const Settings& settings,
                         std::string host)
    : envelope_(std::move(envelope)),
      server_(server),
      pipelining_(server.has(smtp::Feature::pipelining)),
      quote_(settings.quote_envelope),
      lmtp_(settings.protocol == Protocol::lmtp),
      data_wanted_(!envelope_.probe || settings.verify_at_data),
      host_(std::move(host)),
      fates_(envelope_.recipients.size()) {
  SP_ASSERT(!envelope_.recipients.empty());
}

void Transaction::push(Step step, std::size_t recipient, std::size_t bytes) {
  outstanding_.push_back({step, recipient, bytes});
  outstanding_bytes_ += bytes;
}

std::size_t Transaction::open_count() const {
  return static_cast<std::size_t>(std::ranges::count_if(fates_, [](const auto& fate) { return !fate; }));
}

bool Transaction::anybody_delivered() const {
  return std::ranges::any_of(fates_, [](const auto& fate) { return fate && fate->delivered; });
}

std::optional<std::string> Transaction::next_command() {
  if (phase_ != Phase::envelope || mail_failed_ || server_closing_) { return std::nullopt; }
  if (!outstanding_.empty() && (!pipelining_ || outstanding_bytes_ >= kWindowBytes)) { return std::nullopt; }
  if (!mail_sent_) {
    mail_sent_ = true;
    std::string command = mail_command(envelope_, server_, quote_);
    push(Step::mail, 0, command.size());
    return command;
  }
  if (next_recipient_ < envelope_.recipients.size()) {
    std::string command = rcpt_command(envelope_.recipients[next_recipient_], server_, quote_);
    push(Step::rcpt, next_recipient_++, command.size());
    return command;
  }
  if (data_sent_ || !data_wanted_ || open_count() == 0) { return std::nullopt; }
  data_sent_ = true;
  push(Step::data, 0, 4);
  return "DATA";
}

std::optional<Step> Transaction::awaited() const {
  if (phase_ == Phase::finish) { return Step::end_of_data; }
  if (phase_ == Phase::envelope && !outstanding_.empty()) { return outstanding_.front().step; }
  return std::nullopt;
}

void Transaction::fail_rest(const Failure& failure) {
  for (auto& fate : fates_) {
    if (!fate) { fate = Fate{.delivered = false, .reply = {}, .code = {}, .failure = failure}; }
  }
}

void Transaction::on_reply(const smtp::ServerReply& reply) {
  if (reply.code == 421) { server_closing_ = true; }
  if (phase_ == Phase::finish) {
    on_final_reply(reply);
    return;
  }
  SP_ASSERT(phase_ == Phase::envelope && !outstanding_.empty());
  const Sent sent = outstanding_.front();
  outstanding_.pop_front();
  outstanding_bytes_ -= sent.bytes;
  const bool positive = reply.reply_class() == 2;
  switch (sent.step) {
    case Step::mail:
      needs_reset_ = true;
      if (!positive) {
        mail_failed_ = true;
        fail_rest(said(host_, reply, Step::mail));
      }
      break;
    case Step::rcpt:
      if (!positive && !fates_[sent.recipient]) {
        fates_[sent.recipient] =
            Fate{.delivered = false, .reply = {}, .code = {}, .failure = said(host_, reply, Step::rcpt)};
      }
      if (positive && !data_wanted_) { accept(sent.recipient, reply); }
      break;
    default:
      on_data_reply(reply);
      return;
  }
  // Nobody is left and DATA is not on its way: that was all. After 421 the server answers nothing any more.
  if (server_closing_) { fail_rest(said(host_, reply, sent.step)); }
  const bool envelope_sent = mail_failed_ || next_recipient_ == envelope_.recipients.size();
  if (server_closing_ || (outstanding_.empty() && envelope_sent && !data_sent_ && open_count() == 0)) {
    phase_ = Phase::done;
  }
}

void Transaction::accept(std::size_t recipient, const smtp::ServerReply& reply) {
  auto& fate = fates_[recipient];
  if (fate) { return; }
  fate = Fate{.delivered = true, .reply = one_line(reply.text), .code = smtp::to_status(reply).code, .failure = {}};
}

void Transaction::on_data_reply(const smtp::ServerReply& reply) {
  if (reply.code == 354 || reply.reply_class() == 3) {
    if (envelope_.probe) {
      // There is no way back from here but to hang up: even an empty message would be one.
      for (std::size_t i = 0; i < fates_.size(); ++i) { accept(i, reply); }
      server_closing_ = true;
      phase_ = Phase::done;
      return;
    }
    phase_ = open_count() == 0 ? Phase::dot_only : Phase::content;
    return;
  }
  fail_rest(said(host_, reply, Step::data));
  phase_ = Phase::done;
}

void Transaction::content_sent() {
  SP_ASSERT(phase_ == Phase::content || phase_ == Phase::dot_only);
  if (lmtp_) {
    // RFC 2033 §4.2: one reply for each recipient that was accepted, in the order of the RCPT commands.
    for (std::size_t i = 0; i < fates_.size(); ++i) {
      if (!fates_[i]) { final_order_.push_back(i); }
    }
    phase_ = final_order_.empty() ? Phase::done : Phase::finish;
    return;
  }
  phase_ = Phase::finish;
}

void Transaction::on_final_reply(const smtp::ServerReply& reply) {
  needs_reset_ = false;
  const auto decide = [&](std::size_t recipient) {
    if (reply.reply_class() == 2) {
      accept(recipient, reply);
    } else if (auto& fate = fates_[recipient]; !fate) {
      fate = Fate{.delivered = false, .reply = {}, .code = {}, .failure = said(host_, reply, Step::end_of_data)};
    }
  };
  if (!lmtp_) {
    for (std::size_t i = 0; i < fates_.size(); ++i) { decide(i); }
    phase_ = Phase::done;
    return;
  }
  decide(final_order_.front());
  final_order_.pop_front();
  if (server_closing_) {
    for (const std::size_t index : final_order_) { decide(index); }
    final_order_.clear();
  }
  if (final_order_.empty()) { phase_ = Phase::done; }
}

void Transaction::on_broken(const Failure& failure) {
  fail_rest(failure);
  server_closing_ = true;
  phase_ = Phase::done;
}

}  // namespace stagepost::smtp_client
