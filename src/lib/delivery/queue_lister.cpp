#include "delivery/queue_lister.hpp"

#include <array>
#include <fcntl.h>
#include <span>
#include <sys/stat.h>

#include "base/shared_work.hpp"
#include "base/sys.hpp"
#include "mail/address.hpp"

namespace stagepost::delivery {
namespace {

using queue::QueueName;

/// The order of Postfix's listing.
constexpr std::array kListed{QueueName::maildrop, QueueName::active, QueueName::incoming, QueueName::deferred,
                             QueueName::hold};
constexpr std::size_t kRecipientsPerStep = 200;
/// Files read ahead, by so many threads; what is kept of each is bounded.
constexpr std::size_t kFilesAhead = 512;
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
    if (ahead_.empty()) {
      SP_TRY(const bool more, read_ahead());
      if (!more) { return false; }
      continue;
    }
    const Ahead file = std::move(ahead_.front());
    ahead_.pop_front();
    switch (file.kind) {
      case Ahead::Kind::no_message:
        continue;
      case Ahead::Kind::small:
        sink.on_message(file.message);
        for (const auto& recipient : file.recipients) { sink.on_recipient(recipient); }
        sink.on_message_end();
        return true;
      case Ahead::Kind::large:
        current_ = open(file.entry);
        if (!current_) { continue; }
        sink.on_message(current_->message);
        return true;
    }
  }
}

Result<bool> QueueLister::read_ahead() {
  while (ahead_.empty() && queue_ < kListed.size()) {
    if (!scan_) { scan_.emplace(directory_, kListed[queue_]); }
    while (ahead_.size() < kFilesAhead) {
      SP_TRY(auto entry, scan_->next());
      if (!entry) { break; }
      ahead_.push_back({.entry = *std::move(entry)});
    }
    if (ahead_.empty()) {
      scan_.reset();
      ++queue_;
    }
  }
  std::size_t next = 0;
  share_work(
      kThreads,
      [&]() -> std::optional<std::size_t> {
        if (next >= ahead_.size()) { return std::nullopt; }
        return std::exchange(next, next + kFilesAtATime);
      },
      [this](std::size_t first) {
        for (std::size_t i = first; i < std::min(first + kFilesAtATime, ahead_.size()); ++i) { read(ahead_[i]); }
      });
  return !ahead_.empty();
}

void QueueLister::read(Ahead& file) const {
  auto current = open(file.entry);
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

std::optional<QueueLister::Current> QueueLister::open(const queue::QueueScan::Entry& entry) const {
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
  const QueueName queue = kListed[queue_];
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
