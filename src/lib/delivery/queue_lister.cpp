#include "delivery/queue_lister.hpp"

#include <array>
#include <sys/stat.h>

#include "base/sys.hpp"
#include "mail/address.hpp"

namespace stagepost::delivery {
namespace {

using queue::QueueName;

/// The order of Postfix's listing.
constexpr std::array kListed{QueueName::maildrop, QueueName::active, QueueName::incoming, QueueName::deferred,
                             QueueName::hold};
constexpr std::size_t kRecipientsPerStep = 200;

}  // namespace

Result<bool> QueueLister::step(clients::ListingSink& sink) {
  if (!current_) { return next_message(sink); }
  if (!more_recipients(sink)) {
    sink.on_message_end();
    current_.reset();
  }
  return true;
}

Result<bool> QueueLister::next_message(clients::ListingSink& sink) {
  while (queue_ < kListed.size()) {
    if (!scan_) { scan_.emplace(directory_, kListed[queue_]); }
    SP_TRY(const auto entry, scan_->next());
    if (!entry) {
      scan_.reset();
      ++queue_;
      continue;
    }
    if (open(*entry, sink)) { return true; }
  }
  return false;
}

bool QueueLister::open(const queue::QueueScan::Entry& entry, clients::ListingSink& sink) {
  const auto id = queue::QueueId::parse(entry.name);
  if (!id) { return false; }
  auto reader = queue::MessageReader::open(entry.path, queue::MessageReader::Access::read);
  if (!reader) { return false; }
  const auto st = sys::fstat(reader->fd());
  // Without the owner's execute bit the file is still being written.
  if (!st || (st->st_mode & S_IXUSR) == 0) { return false; }
  const auto envelope = reader->read_envelope();
  if (!envelope) { return false; }
  const QueueName queue = kListed[queue_];
  clients::ListedMessage message;
  message.queue_name = queue::to_string(queue);
  message.queue_id = entry.name;
  message.arrival_time = envelope->arrival.seconds;
  // A submission has no size record.
  message.size_bytes = envelope->size.message_size > 0 ? envelope->size.message_size : st->st_size;
  message.forced_expire = (st->st_mode & S_IXGRP) != 0 && queue != QueueName::maildrop;
  message.sender = envelope->sender.empty() ? "MAILER-DAEMON" : mail::quote_822_local(envelope->sender);
  sink.on_message(message);
  current_.emplace(Current{.reader = std::move(*reader)});
  if (queue != QueueName::maildrop) {
    auto log = ReportLogReader::open(directory_.path(QueueName::defer, *id));
    if (log) { current_->log.emplace(std::move(*log)); }
  }
  return true;
}

bool QueueLister::more_recipients(clients::ListingSink& sink) {
  Current& current = *current_;
  for (std::size_t i = 0; current.log && i < kRecipientsPerStep; ++i) {
    auto entry = current.log->next();
    if (!entry || !*entry) {
      current.log.reset();
      break;
    }
    sink.on_recipient({mail::quote_822_local((*entry)->recipient.address), (*entry)->reason});
    if ((*entry)->recipient.offset > 0) { current.told.insert((*entry)->recipient.offset); }
  }
  if (current.log) { return true; }
  if (!current.next_offset) { return false; }
  const auto window = current.reader.read_recipients(*current.next_offset, kRecipientsPerStep);
  if (!window) { return false; }
  for (const auto& recipient : window->recipients) {
    if (current.told.contains(recipient.offset)) { continue; }
    sink.on_recipient({mail::quote_822_local(recipient.address), {}});
  }
  current.next_offset = window->next_offset;
  return current.next_offset.has_value();
}

}  // namespace stagepost::delivery
