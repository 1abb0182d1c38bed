#include "log/log.hpp"

#include <algorithm>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/unique_fd.hpp"
#include "log/batch.hpp"

namespace stagepost::log {
namespace {

using testing::MatchesRegex;

TEST(Log, LabelsAndUnprintableBytes) {
  EXPECT_EQ(labelled(Level::warning, "a\nb"), "warning: a?b");
  EXPECT_EQ(labelled(Level::info, "connect from x"), "connect from x");
}

TEST(Log, FileLineHasSyslogShape) {
  EXPECT_THAT(file_line("mx.example.com", "postfix/smtpd", 12, "x"),
              MatchesRegex("[A-Z][a-z][a-z] [ 0-9][0-9] ..:..:.. mx postfix/smtpd\\[12\\]: x"));
}

TEST(Log, JsonSplitsQueueIdAndEscapes) {
  EXPECT_THAT(json_line("postfix/qmgr", 7, Level::info, "4F9D195432C: from=<a\"b>"),
              MatchesRegex(R"(\{"time":"[^"]*Z","process":"postfix/qmgr","pid":7,"level":"info",)"
                           R"("queue_id":"4F9D195432C","message":"from=<a\\"b>"\})"));
  EXPECT_THAT(json_line("postfix/smtpd", 7, Level::warning, "connect: refused"),
              testing::Not(testing::HasSubstr("queue_id")));
}

TEST(Log, CaptureSeesTextAndDebugNeedsVerbose) {
  std::vector<std::string> lines;
  capture([&](Level, std::string_view text) { lines.emplace_back(text); });
  info("n={}", 1);
  debug("hidden");
  capture({});
  EXPECT_EQ(lines, std::vector<std::string>{"n=1"});
}

TEST(Log, PostlogSinkSendsLinesAtOnceOrCollected) {
  char directory[] = "/tmp/stagepost-log-XXXXXX";
  ASSERT_NE(::mkdtemp(directory), nullptr);
  const std::string path = std::string(directory) + "/postlog";
  const unique_fd receiver(::socket(AF_UNIX, SOCK_DGRAM, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, path.size());
  ASSERT_EQ(::bind(receiver.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  open(Settings{.program_name = "postfix/x", .destination = Destination::postlog, .postlog_socket = path});
  LineTime last = line_time();
  const auto received = [&] {
    char buffer[65536];
    const auto n = ::recv(receiver.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    std::string lines;
    BatchReader batch(std::string_view(buffer, n < 0 ? 0 : static_cast<std::size_t>(n)));
    while (n > 0) {
      const auto line = batch.next();
      if (!line) { break; }
      EXPECT_TRUE(line->time && *line->time >= last && *line->time <= line_time());
      last = line->time.value_or(last);
      lines += std::string(line->text) + "\n";
    }
    return lines;
  };
  warning("hello");
  EXPECT_THAT(received(), MatchesRegex(".* postfix/x\\[[0-9]+\\]: warning: hello\n"));

  int asked = 0;
  collect([&asked] { ++asked; });
  info("one");
  info("two");
  EXPECT_EQ(received(), "");
  EXPECT_EQ(asked, 1);
  flush();
  EXPECT_THAT(received(), MatchesRegex(".* postfix/x\\[[0-9]+\\]: one\n.* postfix/x\\[[0-9]+\\]: two\n"));
  info("three");
  warning("four");
  EXPECT_THAT(received(), MatchesRegex(".*: three\n.*: warning: four\n")) << "a warning does not wait";
  for (int i = 0; i < 60; ++i) { info("{:0>200}", i); }
  std::string many = received();
  EXPECT_GT(many.size(), 0U) << "a large batch does not wait";
  flush();
  for (std::string more = received(); !more.empty(); more = received()) { many += more; }
  EXPECT_EQ(std::count(many.begin(), many.end(), '\n'), 60);
  info("five");
  open(Settings{});
  EXPECT_THAT(received(), MatchesRegex(".*: five\n")) << "nothing is lost when the log is opened again";
  ::unlink(path.c_str());
  ::rmdir(directory);
}

}  // namespace
}  // namespace stagepost::log
