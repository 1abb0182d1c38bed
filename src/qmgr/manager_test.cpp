// The manager with fake services around it: real sockets and queue files in a directory of their own, one event loop.
#include "qmgr/manager.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/sys.hpp"
#include "clients/endpoint.hpp"
#include "log/log.hpp"
#include "net/socket_stream.hpp"
#include "queue/message_writer.hpp"

namespace stagepost::qmgr {
namespace {

using queue::QueueName;
using Clock = std::chrono::system_clock;

unique_fd listen_on(const std::string& path) {
  unique_fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0) << path;
  EXPECT_EQ(::listen(fd.get(), 100), 0);
  return fd;
}

/// Answers each Request on `path` with what `respond` makes of it.
template <class Request, class Reply>
class FakeService {
 public:
  using Respond = std::function<std::optional<Reply>(const Request&)>;
  FakeService(net::EventLoop& loop, const std::string& path, Respond respond)
      : listener_(*net::Listener::create(loop, listen_on(path))),
        respond_(std::move(respond)),
        tasks_(loop, path, 1000) {
    tasks_.spawn(accept());
  }
  net::Task<> stop() { return tasks_.cancel_and_join(); }

  std::vector<Request> seen;

 private:
  net::Task<> accept() {
    for (;;) {
      auto connection = co_await listener_.accept();
      if (!connection) { co_return; }
      tasks_.spawn(serve(std::move(connection->stream)));
    }
  }
  net::Task<> serve(std::unique_ptr<net::Stream> stream) {
    ipc::Channel channel(std::move(stream));
    for (;;) {
      auto request = co_await channel.receive_as<Request>(Deadline::never());
      if (!request) { co_return; }
      seen.push_back(*request);
      auto reply = respond_(*request);
      if (!reply) { co_return; }  // the connection closes: a service that dies
      const auto sent = co_await channel.send(*reply, Deadline::never());
      if (!sent) { co_return; }
    }
  }

  net::Listener listener_;
  Respond respond_;
  net::TaskGroup tasks_;
};

using FakeAgent = FakeService<delivery::DeliverRequest, delivery::DeliverReply>;
using FakeResolver = FakeService<clients::ResolveManyRequest, clients::ResolveManyReply>;
using FakeReporter = FakeService<clients::BounceFlush, clients::Ack>;

class ManagerTest : public testing::Test {
 protected:
  ManagerTest() : directory_(".", queue::Hashing{}) {
    std::string root = testing::TempDir() + "qmgr_XXXXXX";
    EXPECT_NE(::mkdtemp(root.data()), nullptr);
    EXPECT_EQ(::chdir(root.c_str()), 0);
    EXPECT_TRUE(directory_.create_all({}));
    log::capture([this](log::Level, std::string_view line) { lines_.emplace_back(line); });
    resolver_.emplace(loop_, "private/rewrite", [](const clients::ResolveManyRequest& request) {
      clients::ResolveManyReply replies;
      for (const std::string& recipient : request.recipients) {
        clients::ResolveReply reply;
        reply.transport = "fake";
        reply.recipient = recipient;
        reply.nexthop = recipient.substr(recipient.rfind('@') + 1);
        replies.answers.push_back(std::move(reply));
      }
      return std::optional(replies);
    });
  }
  ~ManagerTest() override { log::capture({}); }

  FakeAgent& agent(const std::string& name, FakeAgent::Respond respond) {
    return agents_.emplace_back(loop_, "private/" + name, std::move(respond));
  }
  FakeReporter& reporter(const std::string& name, bool ok) {
    return reporters_.emplace_back(loop_, "private/" + name, [ok](const clients::BounceFlush&) {
      return std::optional(clients::Ack{.ok = ok, .text = "refused"});
    });
  }

  std::string put(const std::vector<std::string>& recipients, std::chrono::seconds age = std::chrono::seconds(0)) {
    auto writer = queue::MessageWriter::create(directory_, QueueName::incoming, {});
    EXPECT_TRUE(writer);
    const auto arrival = std::chrono::duration_cast<std::chrono::seconds>((Clock::now() - age).time_since_epoch());
    using queue::RecordType;
    writer->append(RecordType::size, queue::format_size({}));
    writer->append(RecordType::time, queue::format_time({.seconds = arrival.count()}));
    writer->append(RecordType::sender, "sender@example.com");
    for (const std::string& recipient : recipients) { writer->append(RecordType::recipient, recipient); }
    writer->append(RecordType::content_start, "");
    writer->append(RecordType::line, "Subject: test");
    writer->append(RecordType::extracted_start, "");
    writer->append(RecordType::end, "");
    EXPECT_TRUE(writer->commit(queue::CommitPolicy::none()));
    return writer->id().str();
  }

  bool is_in(QueueName queue, const std::string& id) const {
    return ::access(directory_.path(queue, *queue::QueueId::parse(id)).c_str(), F_OK) == 0;
  }
  bool logged(std::string_view text) const {
    return std::ranges::any_of(lines_, [&](const std::string& line) { return line.contains(text); });
  }
  void touch(QueueName queue, const std::string& id) const {
    const auto name = *queue::QueueId::parse(id);
    EXPECT_TRUE(directory_.make_hash_path(queue, name));
    EXPECT_TRUE(sys::open(directory_.path(queue, name), O_CREAT | O_WRONLY));
  }

  /// Runs the manager until `done` holds, at most ten seconds.
  void run(std::function<bool()> done, const std::string& main_cf = "") {
    loop_.run_task(run_until(std::move(done), main_cf));
  }

  net::EventLoop loop_;
  queue::QueueDirectory directory_;
  std::optional<FakeResolver> resolver_;
  std::list<FakeAgent> agents_;
  std::list<FakeReporter> reporters_;
  std::vector<std::string> lines_;

 private:
  net::Task<> run_until(std::function<bool()> done, std::string main_cf) {
    auto config = config::Snapshot::from_text("mydestination =\nipc_timeout = 2s\n" + main_cf, "main.cf", {});
    EXPECT_TRUE(config);
    auto settings = Settings::from(*config, {{"fake", 20}, {"retry", 20}});
    EXPECT_TRUE(settings);
    Manager manager(loop_, std::move(*settings));
    const auto recovered = co_await manager.recover();
    EXPECT_TRUE(recovered);
    manager.start();
    const Deadline deadline = within(std::chrono::seconds(60));
    while (!done() && !deadline.passed()) {
      [[maybe_unused]] const auto slept = co_await net::sleep_until(within(std::chrono::milliseconds(2)));
    }
    EXPECT_TRUE(done());
    co_await manager.stop(std::chrono::seconds(1));
    co_await resolver_->stop();
    for (FakeAgent& one : agents_) { co_await one.stop(); }
    for (FakeReporter& one : reporters_) { co_await one.stop(); }
  }
};

std::optional<delivery::DeliverReply> delivered(const delivery::DeliverRequest&) {
  return delivery::DeliverReply{.complete = true, .destination = {}};
}
std::optional<delivery::DeliverReply> deferred(const delivery::DeliverRequest&) {
  return delivery::DeliverReply{.complete = false, .destination = {}};
}

TEST_F(ManagerTest, DeliversAndRemoves) {
  FakeAgent& fake = agent("fake", delivered);
  const std::string id = put({"a@x", "b@x", "c@y"});
  run([&] { return !is_in(QueueName::incoming, id) && !is_in(QueueName::active, id); });
  EXPECT_FALSE(is_in(QueueName::deferred, id));
  ASSERT_EQ(fake.seen.size(), 2U);
  EXPECT_EQ(fake.seen[0].queue_id, id);
  EXPECT_EQ(fake.seen[0].sender, "sender@example.com");
  EXPECT_EQ(fake.seen[0].recipients.size() + fake.seen[1].recipients.size(), 3U);
  EXPECT_TRUE(logged(id + ": from=<sender@example.com>, size="));
  EXPECT_TRUE(logged(id + ": removed"));
}

TEST_F(ManagerTest, DeliversMoreThanFitsIntoTheRecipientWindow) {
  FakeAgent& fake = agent("fake", delivered);
  std::vector<std::string> recipients;
  for (int i = 0; i < 500; ++i) { recipients.push_back("u" + std::to_string(i) + "@d" + std::to_string(i % 7)); }
  const std::string id = put(recipients);
  run([&] { return logged(id + ": removed"); },
      "qmgr_message_recipient_limit = 20\nqmgr_message_recipient_minimum = 10\n");
  std::set<std::string> seen;
  for (const auto& request : fake.seen) {
    for (const auto& recipient : request.recipients) { seen.insert(recipient.address); }
  }
  EXPECT_EQ(seen.size(), 500U);
}

TEST_F(ManagerTest, ManyMessagesPassThroughASmallActiveQueue) {
  agent("fake", delivered);
  for (int i = 0; i < 300; ++i) { put({"a@x"}); }
  run(
      [&] {
        return std::ranges::count_if(lines_, [](const auto& line) { return line.ends_with(": removed"); }) == 300;
      },
      "qmgr_message_active_limit = 3\n");
}

TEST_F(ManagerTest, WhatIsLeftOverGoesToDeferredWithItsTime) {
  agent("fake", deferred);
  const std::string id = put({"a@x"}, std::chrono::seconds(1000));
  run([&] { return is_in(QueueName::deferred, id); });
  const auto status = sys::stat(directory_.path(QueueName::deferred, *queue::QueueId::parse(id)));
  ASSERT_TRUE(status);
  EXPECT_NEAR(static_cast<double>(status->st_mtime - Clock::to_time_t(Clock::now())), 1000, 3);
  EXPECT_EQ(status->st_atime, status->st_mtime);
}

TEST_F(ManagerTest, ALostAgentLeavesTheMessageDeferred) {
  agent("fake", [](const delivery::DeliverRequest&) { return std::optional<delivery::DeliverReply>(); });
  const std::string id = put({"a@x"});
  run([&] { return is_in(QueueName::deferred, id); });
  EXPECT_TRUE(logged("private/fake socket: malformed response"));
}

TEST_F(ManagerTest, ADeadDestinationAndAMissingTransportGoToTheRetryService) {
  agent("fake", [](const delivery::DeliverRequest&) {
    return std::optional(
        delivery::DeliverReply{.complete = false, .destination = delivery::DestinationFailure{"4.4.1", "refused"}});
  });
  FakeAgent& retry = agent("retry", deferred);
  for (int i = 0; i < 10; ++i) { put({"a@x"}); }
  run([&] {
    return std::ranges::count_if(lines_, [](const auto& line) { return line.contains("(queue active)"); }) == 10 &&
           !retry.seen.empty();
  });
  EXPECT_EQ(retry.seen[0].nexthop, "4.4.1 delivery temporarily suspended: refused");
}

TEST_F(ManagerTest, AMissingTransportIsReportedOnceAndItsMailDeferred) {
  FakeAgent& retry = agent("retry", deferred);
  const std::string id = put({"a@x"});
  run([&] { return is_in(QueueName::deferred, id); });
  ASSERT_EQ(retry.seen.size(), 1U);
  EXPECT_EQ(retry.seen[0].nexthop, "4.3.0 mail transport unavailable");
  EXPECT_TRUE(logged("connect to transport private/fake: No such file or directory"));
}

TEST_F(ManagerTest, TheBounceIsQueuedBeforeTheMessageGoes) {
  FakeReporter& bounce = reporter("bounce", true);
  const std::string id = put({"a@x"});
  agent("fake", [&](const delivery::DeliverRequest&) {
    touch(QueueName::bounce, id);  // as the bounce service does when the agent reports a failure
    return delivered({});
  });
  run([&] { return logged(id + ": removed"); });
  ASSERT_EQ(bounce.seen.size(), 1U);
  EXPECT_EQ(bounce.seen[0].message.queue_id, id);
  EXPECT_EQ(bounce.seen[0].message.sender, "sender@example.com");
}

TEST_F(ManagerTest, AMessageWhoseBounceFailedStays) {
  reporter("bounce", false);
  const std::string id = put({"a@x"});
  touch(QueueName::bounce, id);
  agent("fake", delivered);
  run([&] { return is_in(QueueName::deferred, id); });
  EXPECT_FALSE(logged(id + ": removed"));
}

TEST_F(ManagerTest, AnExpiredMessageIsReturned) {
  FakeReporter& defer = reporter("defer", true);
  agent("fake", deferred);
  const std::string id = put({"a@x"}, std::chrono::hours(121));
  run([&] { return logged(id + ": removed"); });
  ASSERT_EQ(defer.seen.size(), 1U);
  EXPECT_EQ(defer.seen[0].what, clients::BounceFlush::What::report);
  EXPECT_TRUE(logged(id + ": from=<sender@example.com>, status=expired, returned to sender"));
}

TEST_F(ManagerTest, ADamagedFileIsSaved) {
  const std::string id = put({"a@x"});
  const std::string path = directory_.path(QueueName::incoming, *queue::QueueId::parse(id));
  ASSERT_EQ(::truncate(path.c_str(), 150), 0);
  run([&] { return is_in(QueueName::corrupt, id); });
  EXPECT_TRUE(logged("saving corrupt file \"" + id + "\" from queue \"active\" to queue \"corrupt\""));
}

// A type byte that is unknown, one that postpones to another record, one of a record that is passed over.
TEST_F(ManagerTest, AFileWithoutASizeRecordIsSaved) {
  agent("fake", delivered);
  for (const char type : {'\xff', 'F', 'w', 'K'}) {
    const std::string id = put({"a@x"});
    const std::string path = directory_.path(QueueName::incoming, *queue::QueueId::parse(id));
    const auto fd = sys::open(path, O_RDWR);
    ASSERT_TRUE(fd && sys::pwrite_all(fd->get(), std::string_view(&type, 1), 0));
    run([&] { return is_in(QueueName::corrupt, id); });
    EXPECT_TRUE(is_in(QueueName::corrupt, id)) << type;
    EXPECT_FALSE(logged(id + ": removed")) << type;
  }
}

TEST_F(ManagerTest, WhatAnAgentCannotReadIsSavedUnlessEveryRecipientIsDone) {
  agent("fake", [](const delivery::DeliverRequest& request) {
    const bool complete = request.nexthop == "done";
    return std::optional(delivery::DeliverReply{.complete = complete, .destination = {}, .damaged = true});
  });
  const std::string open = put({"a@open", "b@done"});
  const std::string done = put({"a@done"});
  run([&] { return is_in(QueueName::corrupt, open) && logged(done + ": removed"); });
  EXPECT_FALSE(is_in(QueueName::deferred, open));
  EXPECT_TRUE(logged("saving corrupt file \"" + open + "\" from queue \"active\" to queue \"corrupt\""));
}

TEST_F(ManagerTest, WhatWasActiveIsDeliveredAfterARestart) {
  agent("fake", delivered);
  const std::string id = put({"a@x"});
  ASSERT_TRUE(directory_.move(*queue::QueueId::parse(id), QueueName::incoming, QueueName::active));
  run([&] { return logged(id + ": removed"); });
}

TEST_F(ManagerTest, AMessageDeletedUnderWayIsForgotten) {
  const std::string id = put({"a@x"});
  bool asked = false;
  agent("fake", [&](const delivery::DeliverRequest&) {
    EXPECT_TRUE(directory_.remove(QueueName::active, *queue::QueueId::parse(id)));
    asked = true;
    return deferred({});
  });
  run([&] { return asked; });
  EXPECT_FALSE(is_in(QueueName::deferred, id));
}

}  // namespace
}  // namespace stagepost::qmgr
