#include "delivery/queue_lister.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <fcntl.h>
#include <sys/stat.h>
#include <system_error>
#include <utility>

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

/// Passes on what it gets, until that is too much to be kept.
class Limited final : public clients::ListingSink {
 public:
  explicit Limited(clients::ListingSink& sink) : sink_(sink) {}
  void on_message(const clients::ListedMessage& message) override {
    octets_ += message.sender.size();
    sink_.on_message(message);
  }
  void on_recipient(const clients::ListedRecipient& recipient) override {
    octets_ += recipient.address.size() + recipient.reason.size();
    if (fits()) { sink_.on_recipient(recipient); }
  }
  void on_message_end() override { sink_.on_message_end(); }
  [[nodiscard]] bool fits() const { return octets_ <= kSmallOctets; }

 private:
  clients::ListingSink& sink_;
  std::size_t octets_ = 0;
};

std::int64_t now_ns() {
  // The clock that file times come from.
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return now.tv_sec * std::int64_t{1'000'000'000} + now.tv_nsec;
}

/// nullopt: it cannot be told.
std::optional<ListingMemory::FileState> state_of(const std::string& path) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) == 0) { return ListingMemory::state_of(status); }
  return errno == ENOENT ? std::optional<ListingMemory::FileState>(std::in_place) : std::nullopt;
}

/// Where ListingMemory keeps it.
std::string memory_name(QueueName queue, const queue::QueueScan::Entry& entry) {
  std::string name(queue::to_string(queue));
  return name.append(1, '/').append(entry.name);
}

}  // namespace

Result<bool> QueueLister::step(clients::ShowqWriter& out) {
  if (current_) {
    if (!more_recipients(*current_, kRecipientsPerStep, out)) {
      out.on_message_end();
      current_.reset();
    }
    return true;
  }
  for (;;) {
    if (!batch_ || batch_->listed == batch_->parts.size()) {
      if (!coming_) { SP_TRY(coming_, next_batch()); }
      if (!coming_) {
        if (memory_ != nullptr) { memory_->end(listing_); }
        return false;
      }
      batch_ = std::move(coming_);
      read(*batch_);
      batch_->readers.clear();
      SP_TRY(coming_, next_batch());
      continue;
    }
    Part& part = batch_->parts[batch_->listed];
    const bool large = part.next_large < part.large.size();
    const std::size_t end = large ? part.large[part.next_large].position : part.text.size();
    if (part.told < end) {
      out.buffer().append(part.text, part.told, end - part.told);
      part.told = end;
      return true;
    }
    if (!large) {
      ++batch_->listed;
      continue;
    }
    const auto& entry = batch_->files[part.large[part.next_large++].file];
    const auto id = queue::QueueId::parse(entry.name);
    if (id) { current_ = open(entry, *id, batch_->queue); }
    if (!current_) { continue; }
    out.on_message(current_->message);
    return true;
  }
}

Result<std::unique_ptr<QueueLister::Batch>> QueueLister::next_batch() {
  auto batch = std::make_unique<Batch>();
  for (; queue_ < kListed.size(); ++queue_, scan_.reset()) {
    if (!scan_) { scan_.emplace(directory_, kListed[queue_]); }
    while (batch->files.size() < kFilesAhead) {
      SP_TRY(auto entry, scan_->next());
      if (!entry) { break; }
      batch->files.push_back(*std::move(entry));
    }
    if (batch->files.empty()) { continue; }
    batch->queue = queue_;
    batch->parts.resize((batch->files.size() + kFilesAtATime - 1) / kFilesAtATime);
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
    const std::size_t part = batch.taken.fetch_add(1);
    if (part >= batch.parts.size()) { return; }
    const std::size_t first = part * kFilesAtATime;
    for (std::size_t i = first; i < std::min(first + kFilesAtATime, batch.files.size()); ++i) {
      read(batch.parts[part], batch, i);
    }
  }
}

void QueueLister::read(Part& part, const Batch& batch, std::size_t file) const {
  const auto& entry = batch.files[file];
  const auto id = queue::QueueId::parse(entry.name);
  if (!id) { return; }
  if (memory_ != nullptr) {
    if (const auto text = remembered(entry, *id, batch.queue)) {
      part.text += *text;
      return;
    }
  }
  const std::int64_t begun = now_ns();
  auto current = open(entry, *id, batch.queue);
  if (!current) { return; }
  auto writer = clients::ShowqWriter::part();
  Limited limited(writer);
  limited.on_message(current->message);
  const bool more = more_recipients(*current, kSmallRecipients, limited);
  if (more || !limited.fits()) {
    part.large.push_back({.file = file, .position = part.text.size()});
    return;
  }
  limited.on_message_end();
  if (memory_ != nullptr && !current->damaged) {
    memory_->remember(entry.inode, memory_name(kListed[batch.queue], entry), current->file_state, current->log_state,
                      begun, writer.buffer());
  }
  part.text += writer.buffer();
}

std::optional<std::string> QueueLister::remembered(const queue::QueueScan::Entry& entry, const queue::QueueId& id,
                                                   std::size_t place) const {
  auto known = memory_->recall(entry.inode, memory_name(kListed[place], entry));
  if (!known || state_of(entry.path) != known->message) { return std::nullopt; }
  if (kListed[place] != QueueName::maildrop && state_of(directory_.path(QueueName::defer, id)) != known->log) {
    return std::nullopt;
  }
  return std::move(known->text);
}

std::optional<QueueLister::Current> QueueLister::open(const queue::QueueScan::Entry& entry, const queue::QueueId& id,
                                                      std::size_t place) const {
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
  current.file_state = ListingMemory::state_of(*st);
  current.message.queue_name = queue::to_string(queue);
  current.message.queue_id = entry.name;
  current.message.arrival_time = envelope->arrival.seconds;
  // A submission has no size record.
  current.message.size_bytes = envelope->size.message_size > 0 ? envelope->size.message_size : st->st_size;
  current.message.forced_expire = (st->st_mode & S_IXGRP) != 0 && queue != QueueName::maildrop;
  current.message.sender = envelope->sender.empty() ? "MAILER-DAEMON" : mail::quote_822_local(envelope->sender);
  if (queue != QueueName::maildrop) {
    auto log = ReportLogReader::open(directory_.path(QueueName::defer, id));
    if (log) {
      const auto status = sys::fstat(log->fd());
      if (status) { current.log_state = ListingMemory::state_of(*status); }
      current.log.emplace(*std::move(log));
    }
  }
  return current;
}

bool QueueLister::more_recipients(Current& current, std::size_t most, clients::ListingSink& sink) {
  for (std::size_t i = 0; current.log && i < most; ++i) {
    auto entry = current.log->next();
    if (!entry || !*entry) {
      current.damaged |= !entry;
      current.log.reset();
      break;
    }
    sink.on_recipient({mail::quote_822_local((*entry)->recipient.address), std::move((*entry)->reason)});
    if ((*entry)->recipient.offset > 0) { current.told.insert((*entry)->recipient.offset); }
  }
  if (current.log) { return true; }
  if (!current.next_offset) { return false; }
  const auto window = current.reader.read_recipients(*current.next_offset, most);
  if (!window) {
    current.damaged = true;
    return false;
  }
  for (const auto& recipient : window->recipients) {
    if (current.told.contains(recipient.offset)) { continue; }
    sink.on_recipient({mail::quote_822_local(recipient.address), {}});
  }
  current.next_offset = window->next_offset;
  return current.next_offset.has_value();
}

}  // namespace stagepost::delivery
