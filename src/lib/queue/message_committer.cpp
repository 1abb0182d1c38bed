#include "queue/message_committer.hpp"

#include "log/log.hpp"
#include "net/blocking.hpp"

namespace stagepost::queue {
namespace {

/// The end of a group's sync, for one message. Shared by the waiting task and the journal.
struct Ending {
  std::optional<Result<>> result;
  std::function<void()> resume;
};

net::Task<> wait_for(std::shared_ptr<Ending> ending) {
  // Nothing else runs on the loop between the look and the wait.
  if (ending->result) { co_return; }
  co_await net::hand_over([&](std::coroutine_handle<> waiting) { ending->resume = waiting; });
}

}  // namespace

MessageCommitter::MessageCommitter(net::EventLoop& loop, QueueDirectory directory, journal::Journal::Options options)
    : loop_(&loop) {
  options.post = [&loop](std::function<void()> job) { loop.post(std::move(job)); };
  // Lines are collected by the loop, so they are written there.
  options.warn = [&loop](const std::string& text) { loop.post([text] { log::warning("{}", text); }); };
  // With the first message: a process may still be about to give up its privileges, which threads would keep.
  open_ = [directory = std::move(directory), options = std::move(options)] {
    return std::make_unique<journal::Journal>(directory, options);
  };
}

net::Task<Result<>> MessageCommitter::sync_file(MessageWriter& writer) {
  SP_CO_TRY(auto job, writer.prepare_commit(CommitPolicy::fsync_each()));
  auto durable = co_await net::run_blocking(*loop_, [commit = std::move(job)]() mutable { return commit.run(); });
  if (durable) { writer.committed(); }
  co_return durable;
}

void MessageCommitter::prepare() {
  if (open_) { journal_ = std::exchange(open_, nullptr)(); }
}

net::Task<Result<>> MessageCommitter::commit(MessageWriter& writer, ArrivalTime arrival, journal::Place place) {
  prepare();
  if (!journal_ || writer.offset() > static_cast<std::int64_t>(journal::kContentOctetsLimit)) {
    auto synced = co_await sync_file(writer);
    co_return synced;
  }
  const Instance instance{writer.id(), arrival, writer.created().seconds};
  // The file first: a full disk is noticed before anything is promised.
  const auto before = static_cast<std::size_t>(writer.offset()) - writer.buffered_octets();
  SP_CO_TRY(const std::string tail, writer.flush_and_take());
  std::string beginning;
  if (before > 0) { SP_CO_TRY(beginning, writer.read_back(0, before)); }
  const auto ending = std::make_shared<Ending>();
  auto done = [ending, keep = net::keep_running(*loop_)](Result<> result) {
    ending->result = std::move(result);
    if (ending->resume) { ending->resume(); }
  };
  const bool appended = beginning.empty() ? journal_->append(instance, place, tail, {}, std::move(done))
                                          : journal_->append(instance, place, beginning, tail, std::move(done));
  if (!appended) {
    auto synced = co_await sync_file(writer);
    co_return synced;
  }
  co_await wait_for(ending);
  Result<> durable;
  if (*ending->result) {
    durable = writer.complete();
  } else {
    durable = co_await sync_file(writer);
  }
  if (!durable) {
    // What the journal may hold must not come back: the client will be told to try again.
    const auto withdrawn = journal_->withdraw(instance);
    if (!withdrawn) { log::warning("{}: {}", instance.id.str(), withdrawn.error().message()); }
  }
  co_return durable;
}

}  // namespace stagepost::queue
