#include "delivery/queue_lister.hpp"

#include <algorithm>
#include <array>
#include <fcntl.h>
#include <sys/stat.h>
#include <system_error>

#include "base/sys.hpp"
#include "mail/address.hpp"

namespace stagepost::delivery {
namespace {

using queue::QueueName;

/// The order of Postfix's listing.
constexpr std::array kListed{QueueName::maildrop, QueueName::active, QueueName::incoming, QueueName::deferred,
                             QueueName::hold};
constexpr std::size_t kRecipientsPerStep = 200;
/// Files read ahead, twice, by so many threads; what is kept of each is bounded.
constexpr std::size_t kFilesAhead = 1024;
constexpr std::size_t kFilesAtATime = 32;
constexpr std::size_t kThreads = 4;
constexpr std::size_t kSmallRecipients = 16;
constexpr std::size_t kSmallOctets = 4096;

/// Keeps what it gets, unless that is too much.
class Collector final : public clients::ListingSink {
 public:
  explicit Collector(std::vector<clients::ListedRecipient>& recipients) : recipients_(recipients) {}
  void on_message(const clients::ListedMessage& /*message*/) override {}
  void on_recipient(const clients::ListedRecipient& recipient) override {
    octets_ += recipient.address.size() + recipient.reason.size();
    if (fits()) { recipients_.push_back(recipient); }
  }
  void on_message_end() override {}
  [[nodiscard]] bool fits() const { return octets_ <= kSmallOctets; }

 private:
  std::vector<clients::ListedRecipient>& recipients_;
  std::size_t octets_ = 0;
};

}  // namespace

Result<bool> QueueLister::step(clients::ListingSink& sink) {
  if (current_) {
    if (!more_recipients(*current_, kRecipientsPerStep, sink)) {
      sink.on_message_end();
      current_.reset();
    }
    return true;
  }
  for (;;) {
    if (!batch_ || batch_->listed == batch_->files.size()) {
      if (!coming_) { SP_TRY(coming_, next_batch()); }
      if (!coming_) { return false; }
      batch_ = std::move(coming_);
      read(*batch_);
      batch_->readers.clear();
      SP_TRY(coming_, next_batch());
      continue;
    }
    Ahead& file = batch_->files[batch_->listed++];
    switch (file.kind) {
      case Ahead::Kind::no_message:
        continue;
      case Ahead::Kind::small:
        sink.on_message(file.message);
        for (const auto& recipient : file.recipients) { sink.on_recipient(recipient); }
        sink.on_message_end();
        return true;
      case Ahead::Kind::large:
        current_ = open(file.entry, batch_->queue);
        if (!current_) { continue; }
        sink.on_message(current_->message);
        return true;
    }
  }
}

Result<std::unique_ptr<QueueLister::Batch>> QueueLister::next_batch() {
  auto batch = std::make_unique<Batch>();
  for (; queue_ < kListed.size(); ++queue_, scan_.reset()) {
    if (!scan_) { scan_.emplace(directory_, kListed[queue_]); }
    while (batch->files.size() < kFilesAhead) {
      SP_TRY(auto entry, scan_->next());
      if (!entry) { break; }
      batch->files.push_back({.entry = *std::move(entry)});
    }
    if (batch->files.empty()) { continue; }
    batch->queue = queue_;
    start_reading(*batch);
    return batch;
  }
  return std::unique_ptr<Batch>();
}

void QueueLister::start_reading(Batch& batch) const {
  try {
    while (batch.readers.size() < std::min(kThreads, batch.files.size() / kFilesAtATime)) {
      batch.readers.emplace_back([this, &batch] { read(batch); });
    }
  } catch (const std::system_error&) {
    // A limit on threads: whoever lists the batch reads it.
  }
}

void QueueLister::read(Batch& batch) const {
  for (;;) {
    const std::size_t first = batch.taken.fetch_add(kFilesAtATime);
    if (first >= batch.files.size()) { return; }
    for (std::size_t i = first; i < std::min(first + kFilesAtATime, batch.files.size()); ++i) {
      read(batch.files[i], batch.queue);
    }
  }
}

void QueueLister::read(Ahead& file, std::size_t queue) const {
  auto current = open(file.entry, queue);
  if (!current) { return; }
  Collector collector(file.recipients);
  const bool more = more_recipients(*current, kSmallRecipients, collector);
  file.kind = more || !collector.fits() ? Ahead::Kind::large : Ahead::Kind::small;
  if (file.kind == Ahead::Kind::small) {
    file.message = std::move(current->message);
  } else {
    file.recipients.clear();
  }
}

std::optional<QueueLister::Current> QueueLister::open(const queue::QueueScan::Entry& entry, std::size_t place) const {
  const auto id = queue::QueueId::parse(entry.name);
  if (!id) { return std::nullopt; }
  auto fd = sys::open_to_read(entry.path, O_NOFOLLOW | O_NONBLOCK);
  if (!fd) { return std::nullopt; }
  const auto st = sys::fstat(fd->get());
  // Without the owner's execute bit the file is still being written.
  if (!st || !S_ISREG(st->st_mode) || (st->st_mode & S_IXUSR) == 0) { return std::nullopt; }
  auto reader = queue::MessageReader::adopt(*std::move(fd), entry.path, {}, st->st_size);
  auto envelope = reader.read_envelope(queue::MessageReader::Attributes::skip);
  if (!envelope) { return std::nullopt; }
  const QueueName queue = kListed[place];
  Current current{.message = {}, .reader = std::move(reader)};
  current.message.queue_name = queue::to_string(queue);
  current.message.queue_id = entry.name;
  current.message.arrival_time = envelope->arrival.seconds;
  // A submission has no size record.
  current.message.size_bytes = envelope->size.message_size > 0 ? envelope->size.message_size : st->st_size;
  current.message.forced_expire = (st->st_mode & S_IXGRP) != 0 && queue != QueueName::maildrop;
  current.message.sender = envelope->sender.empty() ? "MAILER-DAEMON" : mail::quote_822_local(envelope->sender);
  if (queue != QueueName::maildrop) {
    auto log = ReportLogReader::open(directory_.path(QueueName::defer, *id));
    if (log) { current.log.emplace(*std::move(log)); }
  }
  return current;
}

bool QueueLister::more_recipients(Current& current, std::size_t most, clients::ListingSink& sink) {
  for (std::size_t i = 0; current.log && i < most; ++i) {
    auto entry = current.log->next();
    if (!entry || !*entry) {
      current.log.reset();
      break;
    }
    sink.on_recipient({mail::quote_822_local((*entry)->recipient.address), std::move((*entry)->reason)});
    if ((*entry)->recipient.offset > 0) { current.told.insert((*entry)->recipient.offset); }
  }
  if (current.log) { return true; }
  if (!current.next_offset) { return false; }
  const auto window = current.reader.read_recipients(*current.next_offset, most);
  if (!window) { return false; }
  for (const auto& recipient : window->recipients) {
    if (current.told.contains(recipient.offset)) { continue; }
    sink.on_recipient({mail::quote_822_local(recipient.address), {}});
  }
  current.next_offset = window->next_offset;
  return current.next_offset.has_value();
}

}  // namespace stagepost::delivery
