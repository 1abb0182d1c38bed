// Test program: writes a message with every feature of the writer into the queue directory given as its argument and
// prints the path. tests/differential/test_queue_files.py lets Postfix read it.
#include <cstdio>
#include <unistd.h>

#include "queue/attribute_names.hpp"
#include "queue/message_writer.hpp"

namespace {

using namespace stagepost;
using queue::RecordType;

Result<std::string> write_sample(const std::string& root) {
  const queue::QueueDirectory directory(root, queue::Hashing{});
  SP_TRY(directory.create_all({::getuid(), ::getgid(), ::getgid()}));
  SP_TRY(auto writer, queue::MessageWriter::create(directory, queue::QueueName::incoming, {}));
  writer.append(RecordType::size, queue::format_size({}));
  writer.append(RecordType::time, queue::format_time(writer.created()));
  writer.append_attribute(queue::attr::create_time, std::to_string(writer.created().seconds));
  writer.append_attribute(queue::attr::log_ident, writer.id().str());
  writer.append_attribute(queue::attr::rewrite_context, "local");
  writer.append(RecordType::sender, "a@b.c");
  writer.reserve_for_pointer(5);
  writer.append(RecordType::warn_time, queue::format_warn_time(writer.created().seconds + 3600));
  writer.append_attribute(queue::attr::dsn_original_recipient, "rfc822;r@example.com");
  writer.append(RecordType::original_recipient, "r@example.com");
  const auto recipient = writer.offset();
  writer.append(RecordType::recipient, "r@example.com");
  writer.append(RecordType::recipient, "s@example.com");
  const auto hook = writer.offset();
  writer.append(RecordType::pointer, queue::format_pointer(0));
  const auto content_start = writer.offset();
  writer.append(RecordType::content_start, "");
  queue::SizeRecord size{.content_offset = writer.offset(), .recipient_count = 4, .flags = 8, .smtputf8_flags = 1};
  writer.reserve_for_pointer_before(10);
  writer.append(RecordType::line, "Subject: s");
  writer.append(RecordType::line, "");
  writer.append(RecordType::partial_line, std::string(2048, 'x'));
  writer.append(RecordType::line, std::string(300, 'y'));
  size.message_size = size.content_length = writer.offset() - size.content_offset;
  writer.append(RecordType::extracted_start, "");
  writer.append_attribute(queue::attr::dsn_notify, "1");
  writer.append(RecordType::recipient, "bcc@example.com");
  writer.append(RecordType::end, "");
  const auto added = writer.offset();
  writer.append(RecordType::recipient, "added@example.com");
  writer.append(RecordType::pointer, queue::format_pointer(content_start));
  SP_TRY(writer.patch_record(hook, RecordType::pointer, queue::format_pointer(added)));
  SP_TRY(writer.patch_type(recipient, RecordType::done_recipient));
  SP_TRY(writer.patch_record(0, RecordType::size, queue::format_size(size)));
  SP_TRY(writer.commit(queue::CommitPolicy::fsync_each()));
  return writer.path();
}

}  // namespace

int main(int argc, char** argv) {
  const auto path = write_sample(argc > 1 ? argv[1] : ".");
  if (!path) {
    std::fprintf(stderr, "%s\n", path.error().message().c_str());
    return 1;
  }
  std::puts(path->c_str());
  return 0;
}
