#include "commands/postcat/dump.hpp"

#include <unistd.h>

#include <gtest/gtest.h>

#include "base/sys.hpp"
#include "queue/record.hpp"

namespace stagepost::postcat {
namespace {

using queue::RecordType;

struct Shown {
  std::string text;
  std::string warnings;
  bool damaged = false;
};

Shown show(const std::string& bytes, const DumpOptions& options) {
  std::string pattern = testing::TempDir() + "dumpXXXXXX";
  const unique_fd fd(::mkstemp(pattern.data()));
  ::unlink(pattern.c_str());
  EXPECT_TRUE(sys::write_all(fd.get(), bytes));
  Shown shown;
  queue::RecordFile file(fd.get(), "f");
  const auto done = dump(file, options,
                         {.out = [&](std::string_view text) { shown.text += text; },
                          .warning = [&](std::string_view text) { shown.warnings.append(text).append(1, '\n'); }});
  shown.damaged = !done;
  return shown;
}

class Message {
 public:
  Message& add(RecordType type, std::string_view data) {
    queue::append_record(bytes, type, data);
    return *this;
  }
  std::string bytes;
};

TEST(PostcatDump, HeaderAndBodyAreCutAtTheFirstLineThatIsNoHeader) {
  struct Case {
    std::vector<std::string> lines;
    std::string header;
    std::string body;
  };
  // The answers of Postfix 3.7.
  const std::vector<Case> cases{
      {{"not a header line", "Subject: x"}, "", "not a header line\nSubject: x\n"},
      {{"Subject : x", "a b: y"}, "Subject : x\n", "a b: y\n"},
      {{"Subject: x", " one", "\ttwo", "body", " x"}, "Subject: x\n one\n\ttwo\n", "body\n x\n"},
      {{" lead", "Subject: x", ""}, " lead\nSubject: x\n", "\n"},
      {{">From x", "To: x"}, "", ">From x\nTo: x\n"},
      {{": x"}, "", ": x\n"},
      {{"A:", "B:x", "C"}, "A:\nB:x\n", "C\n"},
  };
  for (const auto& [lines, header, body] : cases) {
    Message message;
    message.add(RecordType::sender, "s").add(RecordType::content_start, "");
    for (const auto& line : lines) { message.add(RecordType::line, line); }
    message.add(RecordType::extracted_start, "").add(RecordType::end, "");
    EXPECT_EQ(show(message.bytes, {.envelope = false, .header = true, .body = false}).text, header) << lines[0];
    EXPECT_EQ(show(message.bytes, {.envelope = false, .header = false, .body = true}).text, body) << lines[0];
  }
}

TEST(PostcatDump, ACutHeaderLineStaysOneLine) {
  Message message;
  message.add(RecordType::sender, "s").add(RecordType::content_start, "");
  message.add(RecordType::partial_line, "Subject: x").add(RecordType::line, "rest").add(RecordType::line, "");
  message.add(RecordType::extracted_start, "").add(RecordType::end, "");
  EXPECT_EQ(show(message.bytes, {.envelope = false, .body = false}).text, "Subject: xrest\n");
  EXPECT_EQ(show(message.bytes, {.envelope = false, .header = false}).text, "\n");
}

TEST(PostcatDump, PointersAreShownOnlyWhenVerbose) {
  Message message;
  message.add(RecordType::sender, "s").add(RecordType::pointer, queue::format_pointer(0));
  message.add(RecordType::content_start, "").add(RecordType::extracted_start, "").add(RecordType::end, "");
  message.add(RecordType::recipient, "behind the end");
  EXPECT_EQ(show(message.bytes, {.offsets = true}).text,
            "*** ENVELOPE RECORDS f ***\n"
            "        0 sender: s\n"
            "        3 *** MESSAGE CONTENTS f ***\n"
            "       22 *** HEADER EXTRACTED f ***\n"
            "       24 *** MESSAGE FILE END f ***\n");
  EXPECT_EQ(show(message.bytes, {.decimal_type = true, .raw = true, .verbose = true}).text,
            "*** ENVELOPE RECORDS f ***\n"
            " 83 sender: s\n"
            "112 pointer_record:               0\n"
            " 77 *** MESSAGE CONTENTS f ***\n"
            " 88 *** HEADER EXTRACTED f ***\n"
            " 69 *** MESSAGE FILE END f ***\n"
            " 82 recipient: behind the end\n");
}

TEST(PostcatDump, DamageEndsTheOutputWithAReason) {
  Message message;
  message.add(RecordType::sender, "s");
  EXPECT_TRUE(show(message.bytes + "N\x7f" + "abc", {}).damaged);
  EXPECT_TRUE(show(message.bytes + "p\x02zz", {}).damaged);
  Message loop = message;
  loop.add(RecordType::pointer, queue::format_pointer(3));
  EXPECT_TRUE(show(loop.bytes, {}).damaged);
  EXPECT_TRUE(show(loop.bytes, {.verbose = true}).damaged);
  EXPECT_EQ(show("hello", {}).warnings, "f: input is not a valid queue file\n");
  EXPECT_EQ(show("", {}).text, "");
}

}  // namespace
}  // namespace stagepost::postcat
