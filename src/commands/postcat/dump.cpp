#include "commands/postcat/dump.hpp"

#include <cstdlib>
#include <ctime>

#include <fmt/format.h>

#include "queue/attribute_names.hpp"
#include "queue/record.hpp"

namespace stagepost::postcat {
namespace {

using queue::RecordType;

enum class Part { envelope, content, extracted, ended };

// asctime's format in local time; text that is no number counts as 0, as Postfix shows it.
std::string date(std::string_view digits) {
  const auto seconds = static_cast<std::time_t>(std::strtoll(std::string(digits).c_str(), nullptr, 10));
  std::tm broken_down{};
  std::string text(64, '\0');
  if (::localtime_r(&seconds, &broken_down) == nullptr) { return std::string(digits); }
  text.resize(std::strftime(text.data(), text.size(), "%a %b %e %H:%M:%S %Y", &broken_down));
  return text;
}

// Envelope data has no NUL; in a damaged file what follows one is left out, as Postfix does.
std::string_view until_nul(std::string_view data) { return data.substr(0, data.find('\0')); }

// Types that a queue file may begin with. Other bytes say that this is not one.
bool may_be_first(RecordType type) {
  constexpr std::string_view kFirst = "/<>ACDFIKLMORSTVWcino";
  return kFirst.find(static_cast<char>(type)) != std::string_view::npos;
}

class Dumper {
 public:
  Dumper(queue::RecordFile& file, const DumpOptions& options, const Sinks& sinks)
      : file_(file), options_(options), sinks_(sinks) {}
  Result<> run();

 private:
  using Item = queue::RecordFile::Item;
  void show(const Item& item);
  void show_content(const Item& item);
  void show_named(const Item& item);
  void show_attribute(const Item& item);
  void marker(std::string_view title, Part expected, Part next);
  void prefix(const Item& item);
  [[nodiscard]] bool in_content() const { return part_ == Part::content; }
  void warn(std::string_view text) const { sinks_.warning(fmt::format("{}: {}", file_.name(), text)); }

  queue::RecordFile& file_;
  const DumpOptions& options_;
  const Sinks& sinks_;
  std::string line_;
  Part part_ = Part::envelope;
  bool in_header_ = true;
  bool line_open_ = false;  // The last content record was a partial line.
  bool seen_size_ = false;
};

void Dumper::prefix(const Item& item) {
  if (options_.offsets) { line_ += fmt::format("{:9} ", item.asked); }
  if (options_.decimal_type) { line_ += fmt::format("{:3} ", static_cast<unsigned>(item.type)); }
}

void Dumper::marker(std::string_view title, Part expected, Part next) {
  if (options_.envelope) { line_ += fmt::format("*** {} {} ***\n", title, file_.name()); }
  if (part_ != expected) {
    warn(next == Part::content     ? "out-of-order message content marker"
         : next == Part::extracted ? "out-of-order extracted segment marker"
                                   : "out-of-order message end marker");
  }
  part_ = next;
}

void Dumper::show_attribute(const Item& item) {
  const auto attribute = queue::parse_attribute(item.data);
  if (!attribute) {
    const auto equals = item.data.find('=');
    warn(fmt::format("malformed attribute: {}: {}",
                     equals == 0 ? "missing attribute name" : "missing '=' after attribute name", item.data));
  } else if (attribute->name == queue::attr::create_time) {
    line_ += fmt::format("{}: {}\n", attribute->name, date(attribute->value));
  } else {
    line_ += fmt::format("named_attribute: {}={}\n", attribute->name, attribute->value);
  }
}

void Dumper::show_named(const Item& item) {
  switch (item.type) {
    case RecordType::time:
    case RecordType::warn_time:
      line_ += fmt::format("{}: {}\n", record_name(item.type), date(item.data));
      break;
    case RecordType::attribute:
      show_attribute(item);
      break;
    case RecordType::line:
      line_ += options_.verbose ? fmt::format("{}: {}\n", record_name(item.type), item.data)
                                : fmt::format("{}\n", item.data);
      break;
    default:
      line_ += fmt::format("{}: {}\n", record_name(item.type), until_nul(item.data));
  }
}

void Dumper::show_content(const Item& item) {
  const bool text = item.type == RecordType::line || item.type == RecordType::partial_line;
  if (!text) {
    if (in_header_ ? options_.header : options_.body) {
      prefix(item);
      show_named(item);
    }
    return;
  }
  // A continuation of a cut line belongs where its beginning is.
  if (in_header_ && !line_open_ && !is_header(item.data) && !item.data.starts_with(' ') &&
      !item.data.starts_with('\t')) {
    in_header_ = false;
  }
  line_open_ = item.type == RecordType::partial_line;
  if (!(in_header_ ? options_.header : options_.body)) { return; }
  prefix(item);
  if (options_.verbose) {
    line_ += fmt::format("{}: {}\n", line_open_ ? "unterminated_text" : "regular_text", item.data);
  } else {
    line_ += item.data;
    if (!line_open_ || options_.offsets) { line_.push_back('\n'); }
  }
}

void Dumper::show(const Item& item) {
  switch (item.type) {
    case RecordType::content_start:
      if (options_.envelope) { prefix(item); }
      marker("MESSAGE CONTENTS", Part::envelope, Part::content);
      return;
    case RecordType::extracted_start:
      if (options_.envelope) { prefix(item); }
      marker("HEADER EXTRACTED", Part::content, Part::extracted);
      return;
    case RecordType::end:
      if (options_.envelope) { prefix(item); }
      // An end record right after the envelope is what a file without content has.
      marker("MESSAGE FILE END", part_ == Part::envelope ? Part::envelope : Part::extracted, Part::ended);
      return;
    default:
      break;
  }
  if (item.type == RecordType::size && part_ == Part::envelope) {
    if (!queue::parse_size(item.data)) {
      sinks_.warning(fmt::format("invalid size record: {}", item.data));
    } else if (seen_size_) {
      sinks_.warning("file contains multiple size records");
    }
    seen_size_ = true;
  }
  if (in_content()) {
    show_content(item);
  } else if (options_.envelope) {
    prefix(item);
    show_named(item);
  }
}

Result<> Dumper::run() {
  file_.seek(options_.start);
  const bool file_order = options_.raw && options_.verbose;
  if (options_.start == 0) {
    SP_TRY(const auto first, file_.peek_type());
    if (!first) { return {}; }
    if (!may_be_first(*first)) {
      warn("input is not a valid queue file");
      return {};
    }
    if (options_.envelope) { line_ = fmt::format("*** ENVELOPE RECORDS {} ***\n", file_.name()); }
  }
  for (;;) {
    SP_TRY(const auto item, file_.next(options_.verbose ? queue::Pointers::show : queue::Pointers::follow));
    if (!item) { return {}; }
    show(*item);
    sinks_.out(line_);
    line_.clear();
    if (item->type == RecordType::pointer && !file_order) {
      const auto target = queue::parse_pointer(item->data);
      if (!target) {
        warn(fmt::format("malformed pointer record value: {}", item->data));
        return queue::queue_failure(queue::QueueErrc::bad_pointer, "");
      }
      if (*target != 0) { file_.jump(*target); }
    }
    if (item->type == RecordType::end && !file_order) { return {}; }
  }
}

}  // namespace

bool is_header(std::string_view line) {
  std::size_t end = 0;
  while (end < line.size() && line[end] > ' ' && line[end] < '\x7f' && line[end] != ':') { ++end; }
  if (end == 0) { return false; }
  const auto colon = line.find_first_not_of(" \t", end);
  return colon != std::string_view::npos && line[colon] == ':';
}

Result<> dump(queue::RecordFile& file, const DumpOptions& options, const Sinks& sinks) {
  return Dumper(file, options, sinks).run();
}

}  // namespace stagepost::postcat
