#include "queue/message_reader.hpp"

#include <fcntl.h>
#include <unistd.h>

#include "base/sys.hpp"
#include "base/text.hpp"
#include "queue/attribute_names.hpp"
#include "queue/error.hpp"

namespace stagepost::queue {
namespace {

std::unexpected<Error> bad_record(const std::string& name, std::int64_t offset, std::string_view what) {
  return queue_failure(QueueErrc::bad_record, name + ": offset " + std::to_string(offset) + ": " + std::string(what));
}

std::unexpected<Error> no_end(const std::string& name) {
  return queue_failure(QueueErrc::truncated, name + ": no end record");
}

std::optional<unsigned> parse_flags(std::string_view value) {
  const auto number = text::parse_unsigned(value);
  if (!number || *number > 0xffffU) { return std::nullopt; }
  return static_cast<unsigned>(*number);
}

bool counts_as_recipient(RecordType type) {
  return type == RecordType::recipient || type == RecordType::done_recipient || type == RecordType::cancelled_recipient;
}

bool is_recipient_record(RecordType type) {
  return type == RecordType::recipient || type == RecordType::done_recipient ||
         type == RecordType::cancelled_recipient || type == RecordType::original_recipient;
}

// True: the attribute belongs to the recipient record that follows.
bool is_recipient_attribute(std::string_view name) {
  return name == attr::dsn_notify || name == attr::dsn_original_recipient;
}

// Attributes that have a member of their own. False when the value is bad.
bool set_attribute(Envelope& envelope, const AttributeView& attribute) {
  const auto [name, value] = attribute;
  if (name == attr::create_time) {
    envelope.create_time = text::parse_signed(value).value_or(0);
  } else if (name == attr::dsn_envid) {
    envelope.dsn_envid = value;
  } else if (name == attr::dsn_ret) {
    const auto flags = parse_flags(value);
    if (!flags) { return false; }
    envelope.dsn_ret = *flags;
  } else if (name == attr::encoding) {
    envelope.encoding = value;
  } else if (name == attr::rewrite_context) {
    envelope.rewrite_context = value;
  } else {
    for (auto& known : envelope.attributes) {
      if (known.first == name) {
        known.second = value;
        return true;
      }
    }
    envelope.attributes.emplace_back(name, value);
  }
  return true;
}

// One envelope record; an error text when its value is bad.
std::string_view set_record(Envelope& envelope, const RecordFile::Item& item) {
  switch (item.type) {
    case RecordType::time: {
      const auto time = parse_time(item.data);
      if (!time) { return "malformed time"; }
      envelope.arrival = *time;
      break;
    }
    case RecordType::create_time: {
      const auto time = parse_time(item.data);
      if (!time) { return "malformed creation time"; }
      envelope.create_time = time->seconds;
      break;
    }
    case RecordType::sender:
      envelope.sender = item.data;
      envelope.has_sender = true;
      break;
    case RecordType::warn_time: {
      const auto time = parse_warn_time(item.data);
      if (!time) { return "malformed warning time"; }
      envelope.warn_time = *time;
      envelope.warn_time_offset = item.offset;
      break;
    }
    case RecordType::full_name:
      envelope.full_name = item.data;
      break;
    case RecordType::inspector:
      envelope.inspector = item.data;
      break;
    case RecordType::filter:
      envelope.filter = item.data;
      break;
    case RecordType::redirect:
      envelope.redirect = item.data;
      break;
    case RecordType::verp:
      envelope.verp_delimiters = item.data;
      break;
    default:
      break;  // Records of newer versions are passed over, as Postfix does.
  }
  return {};
}

}  // namespace

std::string_view Envelope::attribute(std::string_view name) const {
  for (const auto& [known, value] : attributes) {
    if (known == name) { return value; }
  }
  return {};
}

MessageReader::MessageReader(unique_fd fd, std::string name, Limits limits, std::int64_t file_size)
    : fd_(std::move(fd)),
      name_(std::move(name)),
      limits_(limits),
      records_(fd_.get(), name_, {.record_octets = limits.record_octets}, file_size) {}

Result<MessageReader> MessageReader::open(const std::string& path, Access access, Limits limits) {
  // O_NONBLOCK: whatever lies in the queue directory, a FIFO included, must not block the daemon.
  constexpr int kFlags = O_NOFOLLOW | O_NONBLOCK;
  SP_TRY(auto fd, access == Access::update ? sys::open(path, kFlags | O_RDWR) : sys::open_to_read(path, kFlags));
  SP_TRY(const auto status, sys::fstat(fd.get()));
  if (!S_ISREG(status.st_mode)) { return queue_failure(QueueErrc::not_a_queue_file, path); }
  return MessageReader(std::move(fd), path, limits, status.st_size);
}

MessageReader MessageReader::adopt(unique_fd fd, std::string name, Limits limits, std::int64_t file_size) {
  return {std::move(fd), std::move(name), limits, file_size};
}

// The size record tells where the content ends; a wrong one only costs a walk through the content.
Result<> MessageReader::skip_content(std::int64_t content_offset) {
  if (size_ && size_->message_size > 0 && size_->content_offset > 0 &&
      size_->message_size < INT64_MAX - size_->content_offset) {
    const std::int64_t target = size_->content_offset + size_->message_size;
    if (target > content_offset) {
      records_.jump(target);
      const auto item = records_.next(Pointers::show);
      if (item && *item && (*item)->type == RecordType::extracted_start && (*item)->data.empty()) { return {}; }
      records_.jump(content_offset);
    }
  }
  for (;;) {
    SP_TRY(const auto item, records_.next());
    if (!item) { return no_end(name_); }
    if (item->type == RecordType::extracted_start) { return {}; }
    if (item->type != RecordType::line && item->type != RecordType::partial_line) {
      return bad_record(name_, item->offset, "not a content record");
    }
  }
}

Result<> MessageReader::load_size() {
  if (size_) { return {}; }
  records_.seek(0);
  SP_TRY(const auto item, records_.next(Pointers::show));
  size_.emplace();
  has_size_ = item && item->type == RecordType::size;
  if (has_size_) {
    const auto size = parse_size(item->data);
    if (!size) { return bad_record(name_, 0, "malformed size"); }
    size_ = *size;
  }
  return {};
}

Result<Envelope> MessageReader::read_envelope(Attributes wanted) {
  size_.reset();
  SP_TRY(load_size());
  Envelope envelope;
  envelope.size = *size_;
  envelope.has_size = has_size_;
  std::size_t attributes = 0;
  std::size_t octets = 0;
  std::int64_t recipients = 0;
  records_.walk_again(0);
  for (;;) {
    SP_TRY(const auto item, records_.next());
    if (!item) { return no_end(name_); }
    recipients += counts_as_recipient(item->type) ? 1 : 0;
    octets += is_recipient_record(item->type) ? 0 : item->data.size();
    if (octets > limits_.envelope_octets) { return queue_failure(QueueErrc::too_many, name_ + ": envelope data"); }
    switch (item->type) {
      case RecordType::end:
        // A recipient that is not found here would be lost without a word when the others are done.
        if (envelope.size.content_offset > 0 && recipients != envelope.size.recipient_count) {
          return bad_record(name_, item->offset, "number of recipients differs from the size record");
        }
        return envelope;
      case RecordType::content_start: {
        SP_TRY(skip_content(item->next));
        break;
      }
      case RecordType::extracted_start:
      case RecordType::line:
        return bad_record(name_, item->offset, "record out of place");
      case RecordType::attribute: {
        const auto attribute = parse_attribute(item->data);
        if (!attribute) { return bad_record(name_, item->offset, "malformed attribute"); }
        if (is_recipient_attribute(attribute->name)) { break; }
        if (++attributes > limits_.attributes) { return queue_failure(QueueErrc::too_many, name_ + ": attributes"); }
        if (wanted == Attributes::keep && !set_attribute(envelope, *attribute)) {
          return bad_record(name_, item->offset, "malformed attribute value");
        }
        break;
      }
      default: {
        const auto problem = set_record(envelope, *item);
        if (!problem.empty()) { return bad_record(name_, item->offset, problem); }
      }
    }
  }
}

Result<RecipientWindow> MessageReader::read_recipients(std::int64_t offset, std::size_t limit) {
  SP_TRY(load_size());
  RecipientWindow window;
  Recipient next;
  records_.walk_again(offset);
  for (;;) {
    SP_TRY(const auto item, records_.next());
    if (!item) { return no_end(name_); }
    switch (item->type) {
      case RecordType::end:
        return window;
      case RecordType::content_start: {
        SP_TRY(skip_content(item->next));
        break;
      }
      case RecordType::attribute: {
        const auto attribute = parse_attribute(item->data);
        if (!attribute) { return bad_record(name_, item->offset, "malformed attribute"); }
        if (attribute->name == attr::dsn_notify) {
          const auto flags = parse_flags(attribute->value);
          if (!flags) { return bad_record(name_, item->offset, "malformed notify flags"); }
          next.notify = *flags;
        } else if (attribute->name == attr::dsn_original_recipient) {
          next.dsn_original = attribute->value;
        }
        break;
      }
      case RecordType::original_recipient:
        next.original = item->data;
        break;
      case RecordType::done_recipient:
      case RecordType::cancelled_recipient:
        next = {};
        break;
      case RecordType::recipient:
        if (item->data.size() > limits_.address_octets || next.original.size() > limits_.address_octets ||
            next.dsn_original.size() > limits_.address_octets) {
          return bad_record(name_, item->offset, "recipient too long");
        }
        next.address = item->data;
        next.offset = item->offset;
        window.recipients.push_back(std::exchange(next, {}));
        if (window.recipients.size() >= limit) {
          window.next_offset = item->next;
          return window;
        }
        break;
      default:
        break;
    }
  }
}

Result<> MessageReader::rewind_content(const Envelope& envelope) {
  if (envelope.size.content_offset > 0) {
    records_.seek(envelope.size.content_offset);
    return {};
  }
  records_.seek(0);
  for (;;) {
    SP_TRY(const auto item, records_.next());
    if (!item) { return no_end(name_); }
    if (item->type == RecordType::content_start) { return {}; }
  }
}

Result<std::optional<ContentLine>> MessageReader::next_line() {
  auto line = read_line();
  if (!line && is_damage(line.error())) { content_damaged_ = true; }
  return line;
}

Result<std::optional<ContentLine>> MessageReader::read_line() {
  SP_TRY(const auto item, records_.next());
  if (!item) { return no_end(name_); }
  switch (item->type) {
    case RecordType::line:
      return ContentLine{item->data, true};
    case RecordType::partial_line:
      return ContentLine{item->data, false};
    case RecordType::extracted_start:
      return std::nullopt;
    default:
      return bad_record(name_, item->offset, "not a content record");
  }
}

Result<bool> MessageReader::read_content(std::string& out, std::size_t octets) {
  const std::size_t begin = out.size();
  while (out.size() - begin < octets) {
    SP_TRY(const auto line, next_line());
    if (!line) { return false; }
    out.append(line->text);
    if (line->complete) { out.push_back('\n'); }
  }
  return true;
}

Result<> MessageReader::mark_done(std::int64_t offset) {
  char type = 0;
  SP_TRY(const auto got, sys::pread(fd_.get(), std::span(&type, 1), offset));
  if (got == 1 && type == static_cast<char>(RecordType::done_recipient)) { return {}; }
  if (got != 1 || type != static_cast<char>(RecordType::recipient)) {
    return bad_record(name_, offset, "not a recipient");
  }
  type = static_cast<char>(RecordType::done_recipient);
  records_.forget_buffer();
  return sys::pwrite_all(fd_.get(), std::string_view(&type, 1), offset);
}

Result<> MessageReader::mark_warning_sent(const Envelope& envelope) {
  if (envelope.warn_time_offset == 0) { return {}; }
  RecordFile records(fd_.get(), name_);
  records.seek(envelope.warn_time_offset);
  SP_TRY(const auto item, records.next(Pointers::show));
  const std::string value = format_warn_time(kWarningSent);
  if (!item || item->type != RecordType::warn_time || item->data.size() != value.size()) {
    return bad_record(name_, envelope.warn_time_offset, "not a warning time");
  }
  return sys::pwrite_all(fd_.get(), value, item->next - static_cast<std::int64_t>(value.size()));
}

}  // namespace stagepost::queue
