#include "services/postlogd/log_writer.hpp"

#include "base/sys.hpp"

namespace stagepost::postlogd {

LogWriter::LogWriter(net::EventLoop& loop, int file) : file_(file), held_(loop), tasks_(loop, "postlogd write", 1) {
  tasks_.spawn(write_in_time());
}

LogWriter::~LogWriter() { write_all(); }

void LogWriter::add(std::span<const std::string_view> datagrams) {
  const bool first = merger_.empty();
  const log::LineTime arrival = log::line_time();
  for (const std::string_view datagram : datagrams) {
    last_words_.set(-1, nullptr, 0);
    merger_.add(datagram, arrival);
    last_words_.set(file_, merger_.held().data(), merger_.held().size());
    if (merger_.full()) { write_all(); }
  }
  if (const auto due = merger_.due(); due && *due <= arrival) { write_settled(arrival); }
  if (first && !merger_.empty()) { held_.notify_all(); }
}

net::Task<> LogWriter::finish() {
  co_await tasks_.cancel_and_join();
  write_all();
}

net::Task<> LogWriter::write_in_time() {
  for (;;) {
    const auto due = merger_.due();
    if (!due) {
      const auto woken = co_await held_.wait(Deadline::never());
      if (!woken) { co_return; }
      continue;
    }
    // While lines keep coming, add() has written by then what was due, and this sleeps on: no timer for each write.
    const SteadyClock::time_point until{std::chrono::nanoseconds(*due)};
    const auto slept = co_await net::sleep_until(Deadline(until));
    if (!slept) { co_return; }
    const log::LineTime now = log::line_time();
    if (const auto still = merger_.due(); still && *still <= now) { write_settled(now); }
  }
}

void LogWriter::write_settled(log::LineTime now) {
  last_words_.set(-1, nullptr, 0);
  merger_.take_settled(now, out_);
  write();
}

void LogWriter::write_all() {
  last_words_.set(-1, nullptr, 0);
  merger_.take_all(out_);
  write();
}

void LogWriter::write() {
  // A full disk loses lines, as it does with any logger; there is nowhere to report it.
  [[maybe_unused]] const auto written = sys::write_all(file_, out_);
  out_.clear();
  last_words_.set(file_, merger_.held().data(), merger_.held().size());
}

}  // namespace stagepost::postlogd
