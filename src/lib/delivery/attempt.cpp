#include "delivery/attempt.hpp"

#include <algorithm>
#include <cmath>
#include <fcntl.h>
#include <utility>

#include "base/assert.hpp"
#include "base/safe_text.hpp"
#include "log/log.hpp"
#include "mail/address.hpp"
#include "queue/lock.hpp"

namespace stagepost::delivery {
namespace {

/// Seconds with two significant digits, and no more than `decimals` behind the point; trailing zeros are dropped.
std::string format_seconds(double seconds, int decimals) {
  seconds = std::max(seconds, 0.0);
  const int wanted = seconds >= 9.95 ? 0 : seconds >= 0.995 ? 1 : 2;
  std::string text = fmt::format("{:.{}f}", seconds, std::min(wanted, decimals));
  if (text.find('.') != std::string::npos) {
    while (text.back() == '0') { text.pop_back(); }
    if (text.back() == '.') { text.pop_back(); }
  }
  return text;
}

bool wants(std::uint32_t notify, queue::NotifyFlags flag) { return (notify & flag) != 0; }

/// For the trace service: says as well who took the message.
clients::RecipientReport make_trace_report(const clients::RecipientRecord& recipient, const Outcome& outcome,
                                           clients::RecipientReport::Action action) {
  auto traced = make_report(recipient, outcome, action);
  if (outcome.relay != "none") { traced.reason = "delivery via " + outcome.relay + ": " + traced.reason; }
  return traced;
}

/// RFC 3461 §4.1: without NOTIFY the sender hears of failures.
bool reports_failure(std::uint32_t notify) { return notify == 0 || wants(notify, queue::kNotifyFailure); }

}  // namespace

std::string format_delays(const Timing& timing, Timing::Clock::time_point done, int decimals) {
  const auto seconds = [](Timing::Clock::duration d) { return std::chrono::duration<double>(d).count(); };
  const auto start = std::max(timing.agent_start, timing.active_since);
  const bool has_connection = timing.connected >= start;
  const auto ready = has_connection ? timing.connected : start;
  return fmt::format("delay={}, delays={}/{}/{}/{}", format_seconds(seconds(done - timing.arrival), decimals),
                     format_seconds(seconds(timing.active_since - timing.arrival), decimals),
                     format_seconds(seconds(start - timing.active_since), decimals),
                     format_seconds(seconds(ready - start), decimals), format_seconds(seconds(done - ready), decimals));
}

void log_outcome(const std::string& queue_id, const clients::RecipientRecord& recipient, const Outcome& outcome,
                 std::string_view word, const Timing& timing, int decimals) {
  // info_log_address_format = external: as in a header, so that an odd local-part cannot look like another field.
  std::string line = queue_id + ": to=<" + mail::quote_822_local(recipient.address) + ">, ";
  if (!recipient.original.empty() && recipient.original != recipient.address) {
    line += "orig_to=<" + mail::quote_822_local(recipient.original) + ">, ";
  }
  line += fmt::format("relay={}, {}{}, dsn={}, status={} ({})", outcome.relay, outcome.log_fields,
                      format_delays(timing, Timing::Clock::now(), decimals), outcome.status.code, word,
                      outcome.status.text);
  log::write(log::Level::info, line);
}

clients::RecipientReport make_report(const clients::RecipientRecord& recipient, const Outcome& outcome,
                                     clients::RecipientReport::Action action) {
  return {.recipient = recipient,
          .action = action,
          .status = outcome.status.code,
          .reason = printable(outcome.status.text),
          .remote_mta = outcome.remote_mta,
          .diagnostic_type = outcome.diagnostic_type,
          .diagnostic = printable(outcome.diagnostic)};
}

Attempt::Attempt(DeliverRequest request, queue::MessageReader reader, queue::Envelope envelope,
                 config::SnapshotPtr config, clients::BounceClient& bounce)
    : request_(std::move(request)),
      reader_(std::move(reader)),
      envelope_(std::move(envelope)),
      config_(std::move(config)),
      bounce_(&bounce),
      timing_{request_.arrival, request_.active_since, Timing::Clock::now(), {}},
      recorded_(request_.recipients.size(), false) {}

Result<Attempt> Attempt::open(DeliverRequest request, const queue::QueueDirectory& directory,
                              const config::SnapshotPtr& config, clients::BounceClient& bounce) {
  const auto id = queue::QueueId::parse(request.queue_id);
  const auto name = queue::queue_name(request.queue_name);
  if (!id || !name || !queue::holds_messages(*name)) {
    return failure("bad queue file name in delivery request", std::errc::bad_message);
  }
  SP_TRY(auto reader, queue::MessageReader::open(directory.path(*name, *id), queue::MessageReader::Access::update));
  // Shared: agents may deliver different recipients of one message at the same time; qmgr's exclusive lock keeps out.
  SP_TRY(queue::try_lock_shared(reader.fd()));
  SP_TRY(auto envelope, reader.read_envelope());
  return Attempt(std::move(request), std::move(reader), std::move(envelope), config, bounce);
}

net::Task<Result<>> Attempt::report(clients::ReportLog log, clients::RecipientReport report) {
  clients::BounceAppend append{request_.queue_id, std::move(report)};
  auto appended = co_await bounce_->append(log, std::move(append));
  if (!appended) { log::warning("{}: {}", request_.queue_id, appended.error().message()); }
  co_return appended;
}

void Attempt::mark_done(const clients::RecipientRecord& recipient) {
  if (recipient.offset == 0) { return; }
  const auto marked = reader_.mark_done(recipient.offset);
  // The delivery stands; the worst that follows is a second one after a restart.
  if (!marked) { log::warning("{}: {}", request_.queue_id, marked.error().message()); }
}

net::Task<Kind> Attempt::record(clients::RecipientRecord recipient, Outcome outcome) {
  const Kind kind = co_await note(recipient, std::move(outcome));
  settle(recipient, kind);
  co_return kind;
}

void Attempt::settle(const clients::RecipientRecord& recipient, Kind kind) {
  const auto found = std::ranges::find(request_.recipients, recipient);
  SP_ASSERT(found != request_.recipients.end());
  recorded_.at(static_cast<std::size_t>(found - request_.recipients.begin())) = true;
  if (kind == Kind::deferred) {
    all_done_ = false;
  } else {
    mark_done(recipient);
  }
}

net::Task<> Attempt::note_expansion(clients::RecipientRecord recipient, std::string text) {
  if (!wants(recipient.notify, queue::kNotifySuccess)) { co_return; }
  Outcome outcome;
  outcome.relay = "local";
  outcome.status = {"2.0.0", std::move(text)};
  // Mail that went on is not sent again for want of a success report.
  [[maybe_unused]] const auto reported = co_await report(
      clients::ReportLog::trace, make_trace_report(recipient, outcome, clients::RecipientReport::Action::expanded));
}

net::Task<Kind> Attempt::note_probe(clients::RecipientRecord recipient, Outcome outcome) {
  using Action = clients::RecipientReport::Action;
  const bool good = outcome.kind == Kind::sent || outcome.kind == Kind::expanded;
  Kind result = Kind::sent;
  if ((request_.flags & kReportSuccess) != 0) {
    const auto reported =
        co_await report(clients::ReportLog::trace,
                        make_trace_report(recipient, outcome, good ? Action::deliverable : Action::undeliverable));
    if (!reported) { result = Kind::deferred; }
  }
  log_outcome(request_.queue_id, recipient, outcome, good ? "deliverable" : "undeliverable", timing_,
              static_cast<int>(config_->integer("delay_logging_resolution_limit")));
  co_return result;
}

net::Task<Kind> Attempt::note(clients::RecipientRecord recipient, Outcome outcome) {
  using Action = clients::RecipientReport::Action;
  const int decimals = static_cast<int>(config_->integer("delay_logging_resolution_limit"));
  if ((request_.flags & kProbe) != 0) {
    const Kind probed = co_await note_probe(std::move(recipient), std::move(outcome));
    co_return probed;
  }
  const bool trace_all = (request_.flags & kReportSuccess) != 0;  // sendmail -v

  if (outcome.kind == Kind::bounced && config_->boolean("soft_bounce")) {
    outcome.kind = Kind::deferred;
    outcome.status.code = dsn::with_class(outcome.status.code, '4');
  }
  if (outcome.kind == Kind::bounced && reports_failure(recipient.notify)) {
    const auto reported = co_await report(clients::ReportLog::bounce, make_report(recipient, outcome, Action::failed));
    if (!reported) {
      outcome.kind = Kind::deferred;
      outcome.status.code = "4.3.0";
      outcome.status.text += "; bounce or trace service failure";
    }
  }
  const bool success = outcome.kind == Kind::sent || outcome.kind == Kind::expanded;
  if (trace_all || (success && outcome.report_success && wants(recipient.notify, queue::kNotifySuccess))) {
    const Action action = success ? (outcome.kind == Kind::expanded ? Action::expanded : outcome.success_action)
                          : outcome.kind == Kind::bounced ? Action::failed
                                                          : Action::delayed;
    // Mail that arrived is not sent again for want of a success report.
    [[maybe_unused]] const auto reported =
        co_await report(clients::ReportLog::trace, make_trace_report(recipient, outcome, action));
  }
  std::string_view word = "sent";
  if (outcome.kind == Kind::bounced) { word = "bounced"; }
  if (outcome.kind == Kind::deferred) {
    word = "deferred";
    // The log is for mailq and for the delay warning; without it the message is deferred all the same.
    [[maybe_unused]] const auto reported =
        co_await report(clients::ReportLog::defer, make_report(recipient, outcome, Action::delayed));
  }
  log_outcome(request_.queue_id, recipient, outcome, word, timing_, decimals);
  co_return outcome.kind;
}

std::vector<clients::RecipientRecord> Attempt::pending() const {
  std::vector<clients::RecipientRecord> rest;
  for (std::size_t i = 0; i < recorded_.size(); ++i) {
    if (!recorded_[i]) { rest.push_back(request_.recipients[i]); }
  }
  return rest;
}

net::Task<> Attempt::record_rest(Outcome outcome) {
  const auto rest = pending();
  for (const auto& recipient : rest) {
    Outcome copy = outcome;
    [[maybe_unused]] const Kind kind = co_await record(recipient, std::move(copy));
  }
}

void Attempt::set_destination_failure(DestinationFailure destination_failure) {
  destination_failure_ = std::move(destination_failure);
}

DeliverReply Attempt::reply() const {
  return {.complete = all_done_ && std::ranges::all_of(recorded_, [](bool recorded) { return recorded; }),
          .destination = destination_failure_,
          .damaged = reader_.content_damaged()};
}

}  // namespace stagepost::delivery
